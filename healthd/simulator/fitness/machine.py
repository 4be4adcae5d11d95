"""The service that all fitness machines share: features, ranges, data and control."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

from bumble.gatt import Characteristic

from healthd.simulator.attributes import Number, notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.fitness.control import MachineControl
from healthd.simulator.part import Part

SERVICE = 0x1826


def machine_part(
    data: Number,
    records: Callable[[float], Iterable[bytes]],
    period: float,
    *,
    features: Sequence[int],
    settings: Sequence[int] = (),
    ranges: Mapping[int, bytes] | None = None,
    control: MachineControl | None = None,
) -> Part:
    """Return the Fitness Machine service.

    Args:
        data: Number of the characteristic with the machine's records.
        records: Returns the packets of the next record, given the seconds since the last record.
        period: Seconds between two records.
        features: Bits of the first half of 0x2ACC: the values that the machine reports.
        settings: Bits of the second half of 0x2ACC: the targets that it accepts.
        ranges: Values of the range characteristics (0x2AD4 to 0x2AD8), by number.
        control: The control point; None if the machine has none.
    """
    measurement = notifying(data)
    payloads = {measurement: paced(records, period)}
    characteristics: list[Characteristic[bytes]] = [
        readable(0x2ACC, struct.pack("<II", _bits(features), _bits(settings))),
        measurement,
        *(readable(number, value) for number, value in (ranges or {}).items()),
    ]
    if control is not None:
        characteristics += [control.training, control.control.characteristic, control.status]
        payloads[control.training] = control.training_feed.payloads
        payloads[control.control.characteristic] = control.control.feed.payloads
        payloads[control.status] = control.status_feed.payloads
    return Part(service(SERVICE, characteristics), payloads, advertised=True)


def _bits(numbers: Sequence[int]) -> int:
    return sum(1 << number for number in numbers)
