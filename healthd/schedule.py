"""When a periodic peripheral is due. Pure: the time is handed in, on both clocks.

Three ways to be due: every so often (``Every``), at times of the local day (``AtTimes``), and
whenever it shows up, but not before a while after the last time (``Rearmed``).

What is missed while healthd is down is caught up once: however many points of the schedule went
by, the latest one of them is due at once and the others are gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from healthd.samples import Stamp

Cadence = float | tuple[time, ...]
"""Seconds between two runs, or the times of the local day at which they are."""

_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_MINUTE = timedelta(minutes=1)

# Where a whole day is missing (Samoa skipped one in 2011), a time of it has to look this far.
_LONGEST_GAP_MINUTES = 1440

# The days around now that can hold its neighbours on the schedule: one for the zone, one for a
# day that is missing, one for a last run that lies up to a day ahead.
_DAYS_AROUND = range(-2, 4)


class Due(NamedTuple):
    """A point of a schedule; one in the past was missed and is caught up.

    Attributes:
        wall_ns: Unix time.
        mono_ns: the same on the monotonic clock: what is waited for.
    """

    wall_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Last:
    """The point of the schedule that was dealt with last, as it outlives the process.

    Attributes:
        wall_ns: Unix time.
        mono_ns: the same on the monotonic clock of ``boot``.
        boot: id of that boot; empty where unknown.
    """

    wall_ns: int
    mono_ns: int
    boot: str


class Schedule(Protocol):
    """The points at which one peripheral is due."""

    def due(self, now: Stamp) -> Due:
        """The point that is to be dealt with next."""
        ...

    def done(self, due: Due, now: Stamp) -> Due:
        """A point was dealt with; what is to be remembered of it."""
        ...


class Every:
    """Due at multiples of a period since the first time.

    Goes by the monotonic clock: no step of the wall clock touches it, and a run that began late
    does not move the next one. Over a reboot only the wall clock can tell how long it took. Where
    that is wrong, for it may stand in the past until it is synchronised, the next run is late by
    what the clock is slow, and never by more than the period.
    """

    def __init__(self, every_s: float, last: Last | None, boot: str, now: Stamp) -> None:
        """Go on behind ``last``; without one, the first run is due now."""
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
    """Due from a fixed time after the end of the last run on; before the first one, at once."""

    def __init__(self, rearm_s: float, last: Last | None, boot: str, now: Stamp) -> None:
        """Go on behind ``last``."""
        self._rearm_ns = round(rearm_s * _NS)
        ago_ns = self._rearm_ns if last is None else _ago_ns(last, boot, now)
        self._end_ns = now.mono_ns - ago_ns

    def due(self, now: Stamp) -> Due:
        """See ``Schedule``."""
        return _at_mono(self._end_ns + self._rearm_ns, now)

    def done(self, due: Due, now: Stamp) -> Due:
        """See ``Schedule``; what counts is when it ended."""
        self._end_ns = now.mono_ns
        return _at_mono(now.mono_ns, now)


class AtTimes:
    """Due at times of the local day.

    A time that a day does not have, because clocks go forward over it, is due at the next minute
    that exists; one that a day has twice is due the first time only. The plan is made anew on
    every call, so a step of the wall clock, or another time zone, needs no word: a time that was
    stepped over was missed and is caught up, and one that comes again is not due again.
    """

    def __init__(
        self, times: tuple[time, ...], zone: Callable[[], tzinfo], last: Last | None, now: Stamp
    ) -> None:
        """Go on behind ``last``; without one, from now on.

        Args:
            times: of the day.
            zone: the local one, whenever it is asked for.
            last: what was dealt with last, also in an earlier run.
            now: this instant.
        """
        self._times = times
        self._zone = zone
        self._last_ns = now.wall_ns if last is None else last.wall_ns

    def due(self, now: Stamp) -> Due:
        """See ``Schedule``."""
        if self._last_ns > now.wall_ns + _DAY_NS:
            # The clock was far ahead when it last ran: waiting for that time could take years.
            self._last_ns = now.wall_ns
        points = self._around(now.wall_ns)
        passed = max(one for one in points if one <= now.wall_ns)
        if passed > self._last_ns:
            return _at_wall(passed, now)
        behind = max(now.wall_ns, self._last_ns)
        return _at_wall(min(one for one in points if one > behind), now)

    def done(self, due: Due, now: Stamp) -> Due:
        """See ``Schedule``."""
        self._last_ns = due.wall_ns
        return due

    def _around(self, wall_ns: int) -> list[int]:
        zone = self._zone()
        today = datetime.fromtimestamp(wall_ns // _NS, zone).date()
        days = [today + timedelta(days=offset) for offset in _DAYS_AROUND]
        return [instant for day in days for instant in self._of(day, zone)]

    def _of(self, day: date, zone: tzinfo) -> Iterator[int]:
        for one in self._times:
            yield _first_existing(datetime.combine(day, one), zone)


def schedule_for(
    every: Cadence,
    last: Last | None,
    boot: str,
    now: Stamp,
    zone: Callable[[], tzinfo],
) -> Schedule:
    """The schedule of a peripheral that is fetched ``every``; see the classes."""
    if isinstance(every, tuple):
        return AtTimes(every, zone, last, now)
    return Every(every, last, boot, now)


def local_zone(name: str | None, file: Path = Path("/etc/localtime")) -> tzinfo:
    """The time zone of this machine; UTC where it says none.

    Args:
        name: what ``TZ`` says, where it is set.
        file: a link to the zone's rules, or a copy of them.
    """
    try:
        if name:
            return ZoneInfo(name.removeprefix(":"))
        with file.open("rb") as rules:
            return ZoneInfo.from_file(rules)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def _ago_ns(last: Last, boot: str, now: Stamp) -> int:
    """How long ago that was, as far as it can be known; never negative."""
    if boot and last.boot == boot:
        return max(0, now.mono_ns - last.mono_ns)
    return max(0, now.wall_ns - last.wall_ns)


def _at_mono(mono_ns: int, now: Stamp) -> Due:
    return Due(now.wall_ns + mono_ns - now.mono_ns, mono_ns)


def _at_wall(wall_ns: int, now: Stamp) -> Due:
    return Due(wall_ns, now.mono_ns + wall_ns - now.wall_ns)


def _first_existing(local: datetime, zone: tzinfo) -> int:
    """Unix time, in ns, of a local time: the first of two, or the next minute that exists."""
    later = (local + minutes * _MINUTE for minutes in range(_LONGEST_GAP_MINUTES + 1))
    instant = next(found for one in later if (found := _instant(one, zone)) is not None)
    return round(instant.timestamp()) * _NS


def _instant(local: datetime, zone: tzinfo) -> datetime | None:
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == local else None
