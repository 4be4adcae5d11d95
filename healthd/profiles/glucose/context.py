"""The context of a glucose result (0x2A34), as entered by the user: meal, exercise, medication.

Layout: Glucose Service 1.0 and the GATT Specification Supplement.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from healthd.profiles.common.glucose_values import AMOUNT, GlucoseResult
from healthd.profiles.packet.layout import Field, Layout, bit, both, no_bit
from healthd.profiles.packet.wires import U8, U16, number, word
from healthd.samples import quantity

Carbohydrate = Literal["breakfast", "lunch", "dinner", "snack", "drink", "supper", "brunch"]
Meal = Literal["preprandial", "postprandial", "fasting", "casual", "bedtime"]
Tester = Literal["self", "health_care_professional", "lab_test"]
Health = Literal["minor_issues", "major_issues", "during_menses", "under_stress", "no_issues"]
Medication = Literal[
    "rapid_acting_insulin",
    "short_acting_insulin",
    "intermediate_acting_insulin",
    "long_acting_insulin",
    "pre_mixed_insulin",
]

# The names are in the order of their numbers; 15 means "not available".
_TESTERS = {**dict(enumerate(get_args(Tester), start=1)), 15: None}
_HEALTH = {**dict(enumerate(get_args(Health), start=1)), 15: None}


class GlucoseContext(GlucoseResult):
    """The circumstances of the result with the same ``sequence_number``.

    The fields of that result are included if it was sent on the same link.
    """

    kind: ClassVar[str] = "glucose_context"

    extended_flags: Annotated[int | None, quantity("1")] = None
    """Reserved by the specification."""
    carbohydrate: Carbohydrate | int | None = None
    carbohydrate_kg: Annotated[float | None, quantity("kg")] = None
    meal: Meal | int | None = None
    tester: Tester | int | None = None
    health: Health | int | None = None
    exercise_duration_s: Annotated[int | None, quantity("s")] = None
    """``null`` if it was longer than the meter can count."""
    exercise_intensity_pct: Annotated[int | None, quantity("%")] = None
    medication: Medication | int | None = None
    medication_kg: Annotated[float | None, quantity("kg")] = None
    """A medication is given by mass or by volume."""
    medication_l: Annotated[float | None, quantity("L")] = None
    hba1c_pct: Annotated[float | None, quantity("%")] = None


def _tester_and_health(octet: int) -> dict[str, Any]:
    tester, health = octet & 0x0F, octet >> 4
    return {"tester": _TESTERS.get(tester, tester), "health": _HEALTH.get(health, health)}


_CONTEXT = Layout(
    Field("sequence_number", U16, required=True),
    Field("extended_flags", U8, bit(7)),
    Field("carbohydrate", U8, bit(0), word(dict(enumerate(get_args(Carbohydrate), start=1)))),
    Field("carbohydrate_kg", AMOUNT, bit(0)),
    Field("meal", U8, bit(1), word(dict(enumerate(get_args(Meal), start=1)))),
    Field("", U8, bit(2), _tester_and_health),
    Field("exercise_duration_s", U16, bit(3), number(0xFFFF)),
    Field("exercise_intensity_pct", U8, bit(3)),
    Field("medication", U8, bit(4), word(dict(enumerate(get_args(Medication), start=1)))),
    Field("medication_kg", AMOUNT, both(bit(4), no_bit(5))),
    Field("medication_l", AMOUNT, both(bit(4), bit(5))),
    Field("hba1c_pct", AMOUNT, bit(6)),
    flags=U8,
)


def decode_glucose_context(data: bytes) -> GlucoseContext:
    """Decode 2A34: flags u8, number u16, then by the flags, the extended flags u8 first."""
    return GlucoseContext.of(_CONTEXT.read(data))
