"""Records that a machine spread over several notifications, put together again."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from healthd.profiles.characteristic import Options, Timed
from healthd.profiles.fitness_machine.control_point import FitnessMachineControlPoint
from healthd.profiles.fitness_machine.records import Record
from healthd.samples import Measurement

# Machines send a record a second or oftener, and its packets right behind each other. Three times
# that is too long for one record: what comes then belongs to another.
OPEN_S = 3.0

_ABOUT_THE_PACKET = {"more_data", "truncated", "trailing_bytes", "movement_direction"}


@dataclass(frozen=True, slots=True)
class _Open:
    """A record that is not closed: what came of it, from when to when."""

    record: Record
    since_ns: int
    latest_ns: int

    def timed(self) -> Timed:
        """It as it is, at its last packet."""
        return Timed(self.record, self.latest_ns)


class Records:
    """Merges the packets of each data characteristic on the inverted bit 0 of its flags.

    The packet without ``more_data`` closes a record. Packets of one record have no field in
    common, so a field that comes again shows that the closing packet was lost, or that the machine
    never sends one: what was collected is then a measurement of its own. So is a record that has
    been open for more than ``OPEN_S`` when anything arrives, or whose link ends.
    """

    def __init__(self, options: Options) -> None:
        """Nothing in the settings changes it."""
        del options
        self._open: dict[str, _Open] = {}

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """What there is to publish: nothing yet, a record, or a lost one and a new one."""
        if isinstance(measurement, FitnessMachineControlPoint):
            return ()
        published = [one.timed() for one in self._expired(mono_ns)] if self._open else []
        if not isinstance(measurement, Record):
            return (*published, Timed(measurement, mono_ns))
        since_ns, record = mono_ns, measurement
        if started := self._open.pop(record.kind, None):
            if _values(started.record).isdisjoint(_values(record)):
                since_ns, record = started.since_ns, _joined(started.record, record)
            else:
                published.append(started.timed())
        if record.more_data:
            self._open[record.kind] = _Open(record, since_ns, mono_ns)
        else:
            published.append(Timed(record, mono_ns))
        return published

    def end(self) -> Iterable[Timed]:
        """What was open when the link ended."""
        open_ones, self._open = list(self._open.values()), {}
        return [one.timed() for one in open_ones]

    def _expired(self, mono_ns: int) -> list[_Open]:
        expired = [
            one for one in self._open.values() if mono_ns - one.since_ns > OPEN_S * 1_000_000_000
        ]
        for one in expired:
            del self._open[one.record.kind]
        return expired


def _values(record: Record) -> set[str]:
    return record.model_fields_set - _ABOUT_THE_PACKET


def _joined(earlier: Record, later: Record) -> Record:
    both: dict[str, Any] = {key: getattr(earlier, key) for key in _values(earlier)}
    if surplus := earlier.trailing_bytes + later.trailing_bytes:
        both["trailing_bytes"] = surplus
    if earlier.truncated:
        both["truncated"] = True
    return later.model_copy(update=both)
