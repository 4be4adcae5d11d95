"""What was on the air in a case, and whether the lines of a capture say the same."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from healthd.profiles.uuids import canonical_uuid
from healthd.simulator.part import Sent
from healthd.traffic.lines import Discovered, Line, Notified
from tests.system.guest.vm import Failed

# How long a value may be on its way when a link is cut: from the host of a peripheral through an
# emulated controller and the kernel.
_ON_ITS_WAY_S = 1.0
# Times of a capture are taken in other processes, which an emulated machine keeps waiting.
_LATE_S = 10.0

_Value = tuple[str | None, bytes]


@dataclass
class OnAir:
    """What a peripheral sent.

    Attributes:
        address: its Bluetooth address.
        sent: in order.
    """

    address: str = ""
    sent: list[Sent] = field(default_factory=list[Sent])


def notified(lines: Iterable[Line], address: str) -> list[Notified]:
    """Return the values that a device sent, by a capture."""
    return [line for line in lines if isinstance(line, Notified) and line.device == address]


def services(lines: Iterable[Line], address: str) -> list[tuple[str, int, frozenset[str]]]:
    """Return UUIDs, handles and properties of the services and characteristics of a device.

    Without descriptors: BlueZ does not ask for one that can only be the one to subscribe with.

    Raises:
        Failed: the capture has none.
    """
    found = [line for line in lines if isinstance(line, Discovered) and line.device == address]
    if not found:
        raise Failed(f"no services of {address}")
    named: list[tuple[str, int, frozenset[str]]] = []
    for service in found[-1].services:
        named.append((service.uuid, service.handle, frozenset()))
        named += [
            (each.uuid, each.handle, frozenset(each.properties)) for each in service.characteristics
        ]
    return named


def compare(what: str, lines: Sequence[Line], on_air: OnAir, link_ends: Sequence[float]) -> int:
    """Check that each value that was sent is there once, in order, at its time.

    Args:
        what: the name of the capture.
        lines: its lines.
        on_air: what the peripheral sent; values before the first one of the capture, and after the
            last one, do not count.
        link_ends: when links of the peripheral ended, by the monotonic clock. What was sent just
            before may be missing.

    Returns:
        How many values were compared.

    Raises:
        Failed: a value is missing, is there twice or never was sent, or its time is wrong.
    """
    found = notified(lines, on_air.address)
    if not found:
        raise Failed(f"{what}: no values of {on_air.address}")
    to_wall_s = time.time() - time.monotonic()
    rest = iter(on_air.sent)
    missing: list[Sent] = []
    for line in found:
        for sent in rest:
            if (canonical_uuid(sent.uuid), sent.payload) == (line.uuid, line.value):
                break
            missing.append(sent)
        else:
            raise Failed(f"{what}: {line} was not sent, or not in this order")
        late_s = line.time.timestamp() - to_wall_s - sent.at
        if abs(late_s) > _LATE_S:
            raise Failed(f"{what}: {line} is {late_s:.1f} s late")
        if line is found[0]:
            missing.clear()
    for sent in missing:
        if not any(0 <= end - sent.at < _ON_ITS_WAY_S for end in link_ends):
            raise Failed(f"{what}: {sent} is missing; links ended at {link_ends}")
    return len(found)
