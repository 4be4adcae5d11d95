"""Draw numbers as a line of small bars."""

from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_MIDDLE = "▄"


def sparkline(values: Sequence[float]) -> str:
    """Return one bar per value, scaled between the lowest and the highest value."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    if lowest == highest:
        return _MIDDLE * len(values)
    step = (highest - lowest) / (len(_BARS) - 1)
    return "".join(_BARS[round((value - lowest) / step)] for value in values)


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
