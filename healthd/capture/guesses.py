"""Guesses at the layout of an unknown characteristic. No guess is better than a wrong one.

Makers put standard layouts into services of their own. One is recognised only by values that agree
with each other: a heart rate with its RR intervals, a pressure between two others, a date.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from healthd.errors import DecodeError
from healthd.samples import Measurement

Fields = dict[str, Any]

# How far a heart rate, which is a mean, is from the one that a single RR interval gives.
_RATE_TOLERANCE = 0.25


class _Layout(NamedTuple):
    """A layout that may be recognised.

    Attributes:
        uuid: of the standard characteristic.
        sizes: how many bytes it has.
        is_plausible: whether the fields agree with each other.
    """

    uuid: str
    sizes: range
    is_plausible: Callable[[Fields], bool]


def _heart_rate(fields: Fields) -> bool:
    rate, intervals = fields.get("heart_rate_bpm"), fields.get("rr_intervals_ms")
    if not rate or not intervals:
        return False
    return all(
        interval and abs(60_000 / interval - rate) <= _RATE_TOLERANCE * rate
        for interval in intervals
    )


def _pressure(fields: Fields) -> bool:
    systolic, mean, diastolic = (
        fields.get(f"{name}_mmhg") for name in ("systolic", "mean_arterial_pressure", "diastolic")
    )
    if not systolic or not mean or not diastolic:
        return False
    return 30 <= diastolic < mean < systolic <= 280


def _temperature(fields: Fields) -> bool:
    celsius = fields.get("temperature_c")
    return celsius is not None and 30 <= celsius <= 43 and bool(fields.get("device_time"))


def _weight(fields: Fields) -> bool:
    mass = fields.get("weight_kg")
    return mass is not None and 2 <= mass <= 300 and bool(fields.get("device_time"))


_LAYOUTS = (
    _Layout("2a37", range(4, 21), _heart_rate),
    _Layout("2a35", range(7, 20), _pressure),
    _Layout("2a1c", range(12, 14), _temperature),
    _Layout("2a9d", range(10, 16), _weight),
)


_SIZES = frozenset(size for layout in _LAYOUTS for size in layout.sizes)


def may_be_guessed(value: bytes) -> bool:
    """Whether a layout that can be recognised has values of this size."""
    return len(value) in _SIZES


def guess(value: bytes, decoders: Callable[[str], Callable[[bytes], Measurement]]) -> Fields | None:
    """Return what a value may be, or None: the UUID of the layout, its kind and its fields.

    Args:
        value: the bytes.
        decoders: returns the decoder of a standard characteristic.
    """
    found: list[Fields] = []
    for layout in _LAYOUTS:
        if len(value) not in layout.sizes:
            continue
        try:
            measurement = decoders(layout.uuid)(value)
        except DecodeError:
            continue
        fields = measurement.fields()
        if layout.is_plausible(fields):
            found.append({"uuid": layout.uuid, "kind": measurement.kind, "fields": fields})
    return found[0] if len(found) == 1 else None
