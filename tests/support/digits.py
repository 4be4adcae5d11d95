"""How many digits the numbers of a payload have."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

MOST_DIGITS = 11
"""No device sends more than ten: positions (s32 in 1e-7 degrees), distances (u32 in 0.1 m). The
eleventh is for temperatures of a million degrees, which only tests send. Conversions that are not
rounded make sixteen or seventeen."""


def too_many_digits(payload: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers with more digits than any device sends, by their keys."""
    return {
        key: number
        for key, value in payload.items()
        for number in _fractions(value)
        if len(Decimal(repr(number)).normalize().as_tuple().digits) > MOST_DIGITS
    }


def _fractions(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | tuple):
        for item in cast("list[object]", value):
            yield from _fractions(item)
