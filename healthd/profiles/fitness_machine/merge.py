"""Merges records that a machine spreads over several notifications."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from healthd.profiles.fitness_machine.control_point import FitnessMachineControlPoint
from healthd.profiles.fitness_machine.records import Record
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.samples import Measurement

# Machines send at least one record a second, with its packets right after each other. Three seconds
# are too long for one record, so a packet that comes then belongs to another record.
OPEN_S = 3.0

_ABOUT_THE_PACKET = {"more_data", "truncated", "trailing_bytes", "movement_direction"}


@dataclass(frozen=True, slots=True)
class _Open:
    """A record that is not closed yet: what has arrived, and when its packets came."""

    record: Record
    since_ns: int
    latest_ns: int

    def timed(self) -> Timed:
        """Return the record as it is, with the time of its last packet."""
        return Timed(self.record, self.latest_ns)


class Records:
    """Merges the packets of each data characteristic by the inverted bit 0 of its flags.

    The packet without ``more_data`` closes a record. Packets of one record have no field in common.
    If a field comes again, the closing packet was lost or the machine never sends one, and the
    collected fields become a measurement of their own. The same happens when a record has been open
    for more than ``OPEN_S`` and anything arrives, and when the link ends.
    """

    def __init__(self, options: Options) -> None:
        """Start without an open record. No option has an effect."""
        del options
        self._open: dict[str, _Open] = {}

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish: nothing yet, a record, or an unfinished record and a new one."""
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
        """Return the records that are open when the link ends."""
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
