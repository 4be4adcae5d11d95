"""Inclinations of T01 treadmills: 15 levels of 1 %, sent as shares of the highest one.

A share is in steps of 0.1 %, but without its part of one per cent: level 1 is sent as 60 (6 %),
level 2 as 130, level 15 as 1000 (cagnulein/qdomyos-zwift #2511).
"""

from healthd.profiles.fitness_machine.records import NO_S16

HIGHEST_PCT = 15
"""The highest level; the levels are per cent."""

_WHOLE_SHARE = 1000
_STEPS_PER_PERCENT = 10


def share_of(inclination_pct: float) -> int:
    """Return the number that stands for an inclination of 0 to ``HIGHEST_PCT``."""
    # Rounded first, because 100 times a decimal may be a little less than the exact product.
    percent = int(round(inclination_pct * 100, 6) / HIGHEST_PCT)
    return percent * _STEPS_PER_PERCENT


def inclination_of(share: int) -> float | None:
    """Return the inclination that a number stands for, in %; None for "not available"."""
    if share == NO_S16:
        return None
    exact = share * HIGHEST_PCT / _WHOLE_SHARE
    level = round(exact)
    return float(level) if share_of(level) == share else exact
