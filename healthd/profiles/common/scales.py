"""Shared by weighing scales: units, fields and codes of 2A9D, 2A9C and their features."""

from collections.abc import Mapping

from healthd.profiles.packet.layout import ALWAYS, Field, Present, bit, both, no_bit
from healthd.profiles.packet.wires import U8, U16, Meaning, number, scaled

# A pound is 0.45359237 kg, an inch 0.0254 m. Multiplying whole numbers and dividing once keeps the
# decimals exact: 700 tenths of an inch are 1.778 m, but 700 * 0.0254 / 10 is not.
_POUND = 45_359_237, 100_000_000
_INCH = 254, 10_000

# The flag of both characteristics for pounds and inches.
_IMPERIAL = bit(0)
_METRIC = no_bit(0)
_UNKNOWN_USER = 0xFF

FAILED = 0xFFFF
"""Sent instead of a mass or the body fat if the measurement failed."""

MASS_STEPS_KG: Mapping[int, float] = {
    1: 0.5,
    2: 0.2,
    3: 0.1,
    4: 0.05,
    5: 0.02,
    6: 0.01,
    7: 0.005,
}
"""Codes of the mass resolution in both features; 0 means unspecified."""

HEIGHT_STEPS_M: Mapping[int, float] = {1: 0.01, 2: 0.005, 3: 0.001}
"""Codes of the height resolution in both features; 0 means unspecified."""


def mass(
    key: str,
    when: Present = ALWAYS,
    *,
    per_kg: int = 200,
    per_lb: int = 100,
    required: bool = False,
) -> tuple[Field, Field]:
    """Return the fields of a u16 mass in both units; a packet has one of them.

    Args:
        key: the model's key; in kg.
        when: the flags that announce it, in addition to the flag of the unit.
        per_kg: steps per kilogram; 200 in the standard.
        per_lb: steps per pound; 100 in the standard.
        required: see `Field`.
    """
    return _either(Field(key, U16, when, scaled(per_kg, none=FAILED), required), pounds(per_lb))


def pounds(per_lb: int) -> Meaning:
    """Return the conversion from 1/``per_lb`` pounds to kg; None for a failed measurement."""
    return scaled(per_lb * _POUND[1], factor=_POUND[0], none=FAILED)


def height(when: Present) -> tuple[Field, Field]:
    """Return the fields of ``height_m`` in both units: 0.001 m or 0.1 in."""
    return _either(
        Field("height_m", U16, when, scaled(1000)), scaled(10 * _INCH[1], factor=_INCH[0])
    )


def user(when: Present) -> Field:
    """Return the field of ``user_id``; None for the number that means an unknown user."""
    return Field("user_id", U8, when, number(_UNKNOWN_USER))


def _either(metric: Field, imperial: Meaning) -> tuple[Field, Field]:
    key, wire, when = metric.key, metric.wire, metric.when
    return (
        Field(key, wire, both(when, _METRIC), metric.meaning, metric.required),
        Field(key, wire, both(when, _IMPERIAL), imperial, metric.required),
    )
