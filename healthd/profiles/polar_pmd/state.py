"""The state of a Polar sensor during a link: its streams and its clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from healthd.profiles.link_state import Timed
from healthd.profiles.polar_pmd import kinds
from healthd.profiles.polar_pmd.clock import SensorClock
from healthd.profiles.polar_pmd.control import OK, START, STOP, PmdControlPoint
from healthd.profiles.polar_pmd.frames import Pmd
from healthd.profiles.polar_pmd.placement import Placed, Placement
from healthd.profiles.polar_pmd.scaling import MAKE
from healthd.samples import Measurement

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - the sensor's clock has no zone
_RATE_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class _Stream:
    """A type that is being streamed.

    Attributes:
        placement: places its frames in time.
        factor: factor of its compressed numbers; None if its start was not seen.
    """

    placement: Placement
    factor: float | None


class PmdState:
    """Makes published frames of decoded ones: scaled, and placed on our clock.

    It follows the control point: a start request contains the stream's nominal rate, and the answer
    its factor. Frames that it cannot scale or place are published as received, as ``pmd``: those of
    an unknown type, and compressed ones whose start it has not seen (because another program
    started the stream, for example), as their scale cannot be guessed.
    """

    def __init__(self) -> None:
        """Start without a stream."""
        self._clock = SensorClock()
        self._asked: dict[str | int, int | None] = {}
        self._streams: dict[str | int, _Stream] = {}

    @property
    def rebased(self) -> int:
        """See ``characteristic.ClockedState``."""
        return self._clock.epoch

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """See ``characteristic.LinkState``."""
        if isinstance(measurement, PmdControlPoint):
            self._note(measurement)
        elif isinstance(measurement, Pmd):
            return (self._frame(measurement, mono_ns) or Timed(measurement, mono_ns),)
        return ()

    def _note(self, message: PmdControlPoint) -> None:
        if message.recording or message.measurement_type is None:
            return
        name = kinds.WORDS.get(message.measurement_type, message.measurement_type)
        if message.opcode == START:
            rates = message.sample_rates_hz
            self._asked[name] = rates[0] if rates else None
        elif message.status == OK and message.request_opcode == START:
            factor = message.factors[0] if message.factors else None
            # Types with a scale send a factor; like the vendor's code, take 1 for the others.
            self._streams[name] = _Stream(
                Placement(self._asked.get(name)), 1.0 if factor is None else factor
            )
        elif message.status == OK and message.request_opcode == STOP:
            self._streams.pop(name, None)

    def _frame(self, frame: Pmd, mono_ns: int) -> Timed | None:
        name = frame.measurement_type
        if name not in MAKE or not frame.values:
            return None
        stream = self._streams.setdefault(name, _Stream(Placement(None), None))
        factor = stream.factor if frame.compressed else 1.0
        if factor is None:
            return None
        placed = self._place(frame, stream.placement, mono_ns)
        if placed is None:
            return None
        return Timed(MAKE[name](frame, factor, _shared(frame, placed)), placed.first_ns)

    def _place(self, frame: Pmd, placement: Placement, mono_ns: int) -> Placed | None:
        stamp_ns = frame.timestamp_ns
        if frame.pp_intervals_ms is not None:
            # The sensor finds intervals in the light long after the pulse, so their stamps say
            # nothing about delays on the link.
            later_ms = sum(frame.pp_intervals_ms[1:])
            last_ns = self._clock.before(stamp_ns, mono_ns) if stamp_ns else mono_ns
            return placement.place_span(last_ns, later_ms * 1_000_000, mono_ns)
        if stamp_ns:
            return placement.place(self._clock, stamp_ns, mono_ns, len(frame.values))
        return placement.place_by_arrival(mono_ns, len(frame.values))


def _shared(frame: Pmd, placed: Placed) -> dict[str, Any]:
    """Return the fields that all published frames have in common."""
    fields: dict[str, Any] = {}
    if placed.period_ns:
        fields["sample_rate_hz"] = round(1e9 / placed.period_ns, _RATE_DECIMALS)
    if frame.timestamp_ns:
        moment = _EPOCH + timedelta(microseconds=frame.timestamp_ns // 1000)
        fields["device_time"] = moment.isoformat()
    if frame.truncated:
        fields["truncated"] = True
    if frame.trailing_bytes:
        fields["trailing_bytes"] = frame.trailing_bytes
    return fields
