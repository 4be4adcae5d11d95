"""The limits of the settings and the machine, as the steps of what is written to it.

A number is written in whole steps, and a machine may round it to a coarser step of its own. Both
must stay within the limits, so both are rounded towards the inside.
"""

from fractions import Fraction
from math import ceil, floor

from healthd.profiles.common.machines import Limits, Range, Rejected
from healthd.profiles.fitness_machine.machine import Machine, exact


def checked(key: str, value: float, limits: Limits, machine: Machine) -> float:
    """Return the value to write: the nearest step that is within all limits.

    Args:
        key: of a request that sets a target of a machine.
        value: what was requested.
        limits: what the settings allow.
        machine: what is known about the machine.

    Raises:
        Rejected: the value is outside the limits, or no step of the machine is within them.
    """
    allowed: Range | None = getattr(limits, key)
    check(key, value, allowed, machine.ranges.get(key))
    return nearest(key, value, limits, machine)


def nearest(key: str, value: float, limits: Limits, machine: Machine) -> float:
    """Return the step within all limits that is nearest to the value; arguments as `checked`.

    Raises:
        Rejected: no step of the machine is within the limits.
    """
    step = machine.step(key)
    allowed: Range | None = getattr(limits, key)
    possible = machine.ranges.get(key)
    low, high = _steps(allowed, possible, step)
    if low is not None and high is not None and low > high:
        raise _out_of_range(f"no step of the machine is allowed for {key}", key, allowed, possible)
    count = round(exact(value) / step)
    count = count if low is None else max(low, count)
    count = count if high is None else min(high, count)
    return value if count == exact(value) / step else _number(count * step)


def within(value: float, limits: Range, step: Fraction) -> float:
    """Return the step nearest to the value that is within the limits; it is within them itself."""
    low, high = ceil(exact(limits.low) / step), floor(exact(limits.high) / step)
    return _number(min(max(round(exact(value) / step), low), high) * step)


def check(key: str, value: float, allowed: Range | None, possible: Range | None) -> None:
    """Refuse a value outside the settings' limits or the machine's range.

    Raises:
        Rejected: it is outside, or there are no limits at all.
    """
    known = [limits for limits in (allowed, possible) if limits is not None]
    if not known:
        text = f"the machine does not say its range of {key}: set control.{key} in the settings"
        raise Rejected("not_allowed", text)
    if not all(limits.allows(value) for limits in known):
        raise _out_of_range(f"{key} is {value:.10g}", key, allowed, possible)


def _out_of_range(found: str, key: str, allowed: Range | None, possible: Range | None) -> Rejected:
    sources = (("the settings allow", allowed), ("the machine says", possible))
    origins = ", ".join(f"{text} {limits}" for text, limits in sources if limits is not None)
    known = [limits for limits in (allowed, possible) if limits is not None]
    narrow = Range(max(limits.low for limits in known), min(limits.high for limits in known))
    expected = str(narrow) if narrow.low <= narrow.high else "nothing"
    return Rejected("out_of_range", f"{found}, expected {expected}: {origins}")


def _steps(
    allowed: Range | None, possible: Range | None, step: Fraction
) -> tuple[int | None, int | None]:
    """Return the lowest and highest count of steps that is within both; None: without a limit."""
    low = high = None
    if possible is not None:
        # The machine's own limits are counts of steps; the numbers are rounded.
        low, high = round(exact(possible.low) / step), round(exact(possible.high) / step)
    if allowed is None:
        return low, high
    least, most = ceil(exact(allowed.low) / step), floor(exact(allowed.high) / step)
    if possible is None or low is None or high is None:
        return least, most
    grid = _grid(possible, step)
    if least > low:
        low += ceil(Fraction(least - low, grid)) * grid
    if most < high:
        first = round(exact(possible.low) / step)
        high = first + floor(Fraction(most - first, grid)) * grid
    return low, high


def _grid(possible: Range, step: Fraction) -> int:
    """Return the machine's own step, as a count; 1 if it reports none, or nonsense."""
    count = round(exact(possible.increment) / step)
    return count if 1 <= count <= (possible.high - possible.low) / step else 1


def _number(value: Fraction) -> float:
    # Far finer than any step, and without the digits of a binary fraction.
    return int(value) if value.denominator == 1 else round(float(value), 6)
