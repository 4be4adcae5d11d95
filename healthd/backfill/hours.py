"""Hours and what is known of them. Times are seconds since 1970; hours are hours of UTC."""

import math
from datetime import UTC, datetime
from typing import NamedTuple

HOUR_S = 3600

# Home Assistant writes the statistics of an hour five minutes after its end at the latest. An
# import before that makes it fail, and then all sensors lose that hour.
_SETTLED_S = 315

# A value that was converted to another unit and back is not equal in its last digits.
_TOLERANCE = 1e-6


class Values(NamedTuple):
    """What Home Assistant stores of an hour; None for what it does not know."""

    mean: float | None
    least: float | None
    most: float | None


class Aggregate(NamedTuple):
    """The values of a series in one hour.

    Attributes:
        samples: how many there are.
        total: their sum.
        least: the smallest one.
        most: the largest one.
    """

    samples: int
    total: float
    least: float
    most: float

    def values(self) -> Values:
        """Return what is imported."""
        # The sum of equal values, divided by their number, may miss them by a last digit.
        mean = min(max(self.total / self.samples, self.least), self.most)
        return Values(mean, self.least, self.most)


def hour_of(at: float) -> int:
    """Return the start of the hour that contains this time."""
    return math.floor(at / HOUR_S) * HOUR_S


def is_settled(hour: int, now: float) -> bool:
    """Return whether an hour may be imported, by Home Assistant's clock."""
    return hour + HOUR_S + _SETTLED_S <= now


def latest_settled(now: float) -> int:
    """Return the start of the last hour that may be imported."""
    return hour_of(now - HOUR_S - _SETTLED_S)


def utc_text(hour: int) -> str:
    """Return the start of an hour as Home Assistant wants it: ``2026-11-30T09:00:00+00:00``."""
    return datetime.fromtimestamp(hour, UTC).isoformat()


def equal(one: Values, other: Values) -> bool:
    """Return whether both are the same, apart from rounding."""
    return all(_is_close(mine, yours) for mine, yours in zip(one, other, strict=True))


def _is_close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
