"""Which result is the newest, by the clock of a device that may be wrong, reset or never set."""

from datetime import datetime, timedelta
from enum import IntEnum, auto

# Scales and cuffs with Bluetooth LE did not exist before: a clock that shows less was never set.
_FIRST = datetime(2012, 1, 1)  # noqa: DTZ001 - the device knows no time zone

_LAST = datetime.max  # noqa: DTZ901 - as above

# A device may be in any time zone, and summer time.
_AHEAD = timedelta(hours=27)

# A result that arrives was measured just now if the device says so. Clocks are wrong by minutes.
_FRESH = timedelta(minutes=10)

# A new result that is this much older than an earlier one: the clock was reset to its first day,
# which is some years back. A result that was missed on an earlier link is younger.
_RESET = timedelta(days=730)


class Age(IntEnum):
    """How a result relates to those that are known; ordered: the newest has the highest value."""

    OLDER = auto()
    """An earlier one has a later date."""
    UNDATED = auto()
    """Nothing is known, as it has no date, or one that cannot be right."""
    NEWEST = auto()
    """No known one has a later date, or only one of a time when the clock was ahead."""


def age_of(date: datetime | None, newest: datetime | None, now: datetime | None) -> Age:
    """Return how a result relates to the known ones.

    Args:
        date: when it was measured, by the device's clock.
        newest: the newest date of a known result up to `latest`; None if there is none.
        now: the present local time; None if this machine does not know it.
    """
    if date is None or date < _FIRST or date > latest(now):
        return Age.UNDATED
    if newest is None or date >= newest:
        return Age.NEWEST
    # The clock was set back, at the end of summer time for example: it is right now.
    was_ahead = now is not None and newest > now + _FRESH
    return Age.NEWEST if was_ahead and is_fresh(date, now) else Age.OLDER


def latest(now: datetime | None) -> datetime:
    """Return the latest date that can be right."""
    return _LAST if now is None else now + _AHEAD


def is_fresh(date: datetime | None, now: datetime | None) -> bool:
    """Return whether a result was certainly measured just now."""
    return date is not None and now is not None and abs(now - date) <= _FRESH


def is_from_reset_clock(date: datetime | None, newest: datetime | None) -> bool:
    """Return whether the clock was probably reset, if no other new result arrived with this one."""
    return date is not None and newest is not None and newest - date > _RESET
