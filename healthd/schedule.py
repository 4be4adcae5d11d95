"""When a periodic peripheral is due. Pure functions of the time, which is passed in on both clocks.

There are three schedules: at a fixed interval (``Every``), at times of the local day (``AtTimes``),
and whenever the peripheral advertises, but not before a pause after the last run (``Rearmed``).

Runs that were missed while healthd was down are made up for once: however many points of the
schedule passed, the latest of them is due at once and the others are skipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple, Protocol

from healthd.samples import Stamp

Cadence = float | tuple[time, ...]
"""Seconds between two runs, or the times of the local day to run at."""

_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_MINUTE = timedelta(minutes=1)

# A whole day can be missing (Samoa skipped one in 2011): how far to search for the next minute.
_LONGEST_GAP_MINUTES = 1440

# The days around now that can contain the previous and the next point of the schedule: one for the
# zone, one for a missing day, one for a last run that lies up to a day ahead.
_DAYS_AROUND = range(-2, 4)


class Due(NamedTuple):
    """A point of a schedule; one in the past was missed and is made up for.

    Attributes:
        wall_ns: Unix time.
        mono_ns: the same on the monotonic clock, which waits use.
    """

    wall_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Last:
    """The last point of the schedule that is done, as stored for the next start.

    Attributes:
        wall_ns: Unix time.
        mono_ns: the same on the monotonic clock of ``boot``.
        boot: id of that boot; empty if unknown.
    """

    wall_ns: int
    mono_ns: int
    boot: str


class Schedule(Protocol):
    """The points at which one peripheral is due."""

    def due(self, now: Stamp) -> Due:
        """Return the next point."""
        ...

    def done(self, due: Due, now: Stamp) -> Due:
        """Note that a point is done; return what to remember about it."""
        ...


class Every:
    """Due at multiples of a period since the first time.

    Uses the monotonic clock: steps of the wall clock do not affect it, and a run that began late
    does not delay the next one. Across a reboot only the wall clock knows how much time has passed.
    If it is slow, which it may be until it is synchronised, the next run is late by the same
    amount, but never by more than the period.
    """

    def __init__(self, every_s: float, last: Last | None, boot: str, now: Stamp) -> None:
        """Continue after ``last``; without it, the first run is due now."""
        self._every_ns = round(every_s * _NS)
        ago_ns = self._every_ns if last is None else _ago_ns(last, boot, now)
        self._anchor_ns = now.mono_ns - ago_ns

    def due(self, now: Stamp) -> Due:
        """See ``Schedule``."""
        periods = max(1, (now.mono_ns - self._anchor_ns) // self._every_ns)
        return _at_mono(self._anchor_ns + periods * self._every_ns, now)

    def done(self, due: Due, now: Stamp) -> Due:
        """See ``Schedule``."""
        self._anchor_ns = due.mono_ns
        return _at_mono(due.mono_ns, now)


class Rearmed:
    """Due a fixed time after the end of the last run; the first run is due at once."""

    def __init__(self, rearm_s: float, last: Last | None, boot: str, now: Stamp) -> None:
        """Continue after ``last``."""
        self._rearm_ns = round(rearm_s * _NS)
        ago_ns = self._rearm_ns if last is None else _ago_ns(last, boot, now)
        self._end_ns = now.mono_ns - ago_ns

    def due(self, now: Stamp) -> Due:
        """See ``Schedule``."""
        return _at_mono(self._end_ns + self._rearm_ns, now)

    def done(self, due: Due, now: Stamp) -> Due:
        """See ``Schedule``; the pause begins when the run ends."""
        self._end_ns = now.mono_ns
        return _at_mono(now.mono_ns, now)


class AtTimes:
    """Due at times of the local day.

    A time that does not exist on a day, because clocks go forward over it, is due at the next
    minute that exists; a time that occurs twice on a day is due the first time only. The points are
    computed again on every call, so a step of the wall clock or a new time zone takes effect by
    itself: a time that was stepped over was missed and is made up for, and a time that comes again
    is not due again.
    """

    def __init__(
        self, times: tuple[time, ...], zone: Callable[[], tzinfo], last: Last | None, now: Stamp
    ) -> None:
        """Continue after ``last``; without it, start now.

        Args:
            times: the times of the day.
            zone: returns the local time zone, read on each call.
            last: the last point that is done, perhaps in an earlier run.
            now: this instant.
        """
        self._times = times
        self._zone = zone
        self._last_ns = now.wall_ns if last is None else last.wall_ns

    def due(self, now: Stamp) -> Due:
        """See ``Schedule``."""
        if self._last_ns > now.wall_ns + _DAY_NS:
            # The clock was far ahead at the last run: waiting for that time could take years.
            self._last_ns = now.wall_ns
        points = self._around(now.wall_ns)
        passed = max(point for point in points if point <= now.wall_ns)
        if passed > self._last_ns:
            return _at_wall(passed, now)
        after_ns = max(now.wall_ns, self._last_ns)
        return _at_wall(min(point for point in points if point > after_ns), now)

    def done(self, due: Due, now: Stamp) -> Due:
        """See ``Schedule``."""
        self._last_ns = due.wall_ns
        return due

    def _around(self, wall_ns: int) -> list[int]:
        zone = self._zone()
        today = datetime.fromtimestamp(wall_ns // _NS, zone).date()
        days = [today + timedelta(days=offset) for offset in _DAYS_AROUND]
        return [instant for day in days for instant in self._points_of(day, zone)]

    def _points_of(self, day: date, zone: tzinfo) -> Iterator[int]:
        for time_of_day in self._times:
            yield _first_existing(datetime.combine(day, time_of_day), zone)


def schedule_for(
    every: Cadence,
    last: Last | None,
    boot: str,
    now: Stamp,
    zone: Callable[[], tzinfo],
) -> Schedule:
    """Return the schedule of a peripheral that runs ``every``; see the classes."""
    if isinstance(every, tuple):
        return AtTimes(every, zone, last, now)
    return Every(every, last, boot, now)


def _ago_ns(last: Last, boot: str, now: Stamp) -> int:
    """Return how long ago that was, as far as it can be known; never negative."""
    if boot and last.boot == boot:
        return max(0, now.mono_ns - last.mono_ns)
    return max(0, now.wall_ns - last.wall_ns)


def _at_mono(mono_ns: int, now: Stamp) -> Due:
    return Due(now.wall_ns + mono_ns - now.mono_ns, mono_ns)


def _at_wall(wall_ns: int, now: Stamp) -> Due:
    return Due(wall_ns, now.mono_ns + wall_ns - now.wall_ns)


def _first_existing(local: datetime, zone: tzinfo) -> int:
    """Return the Unix time, in ns, of a local time: the first of two, or the next that exists."""
    candidates = (local + minutes * _MINUTE for minutes in range(_LONGEST_GAP_MINUTES + 1))
    instants = (_instant(candidate, zone) for candidate in candidates)
    instant = next(instant for instant in instants if instant is not None)
    return round(instant.timestamp()) * _NS


def _instant(local: datetime, zone: tzinfo) -> datetime | None:
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == local else None
