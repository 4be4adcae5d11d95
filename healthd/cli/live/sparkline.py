"""Draw numbers as a line of small bars."""

from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_MIDDLE = "▄"


def sparkline(values: Sequence[float]) -> str:
    """Return one bar per value, scaled between the lowest and the highest value."""
    # Halves: the distance of the largest and the smallest float would not be a number.
    halves = [value / 2 for value in values]
    lowest = min(halves, default=0.0)
    span = max(halves, default=0.0) - lowest
    if not span:
        return _MIDDLE * len(values)
    return "".join(_BARS[round((half - lowest) / span * (len(_BARS) - 1))] for half in halves)


def condensed(values: Sequence[float], width: int) -> list[float]:
    """Reduce the values to ``width`` values: of each section, the one farthest from the mean.

    A frame of an ECG has more values than fit on a line, and its peak is what matters.
    """
    if len(values) <= width:
        return list(values)
    mean = sum(values) / len(values)
    bounds = [round(place * len(values) / width) for place in range(width + 1)]
    sections = (values[begin:end] for begin, end in pairwise(bounds))
    return [max(section, key=lambda value: abs(value - mean)) for section in sections]
