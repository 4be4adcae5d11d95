"""Numbers as a line of little bars."""

from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_MIDDLE = "▄"


def sparkline(values: Sequence[float]) -> str:
    """Each value as a bar between the lowest and the highest of them."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    if lowest == highest:
        return _MIDDLE * len(values)
    step = (highest - lowest) / (len(_BARS) - 1)
    return "".join(_BARS[round((one - lowest) / step)] for one in values)


def condensed(values: Sequence[float], width: int) -> list[float]:
    """All values as ``width`` of them: of each stretch the one that stands out most.

    A frame of an ECG has more values than a line has room for, and its peak is what matters.
    """
    if len(values) <= width:
        return list(values)
    middle = sum(values) / len(values)
    bounds = [round(place * len(values) / width) for place in range(width + 1)]
    stretches = (values[begin:end] for begin, end in pairwise(bounds))
    return [max(one, key=lambda value: abs(value - middle)) for one in stretches]
