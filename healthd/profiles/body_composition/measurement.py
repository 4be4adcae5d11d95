"""The measurements of the Body Composition service, and how they are decoded."""

from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.common import scales
from healthd.profiles.common.weighing import Weighing, xiaomi_flags
from healthd.profiles.packet.cursor import Truncated
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import (
    DATE_TIME,
    U16,
    U32,
    nothing,
    scaled,
    words,
)
from healthd.samples import Measurement, quantity

# More is not the impedance of a body.
_MOST_OHM = 3000

Feature = Literal[
    "timestamp",
    "multiple_users",
    "basal_metabolism",
    "muscle_percentage",
    "muscle_mass",
    "fat_free_mass",
    "soft_lean_mass",
    "body_water_mass",
    "impedance",
    "weight",
    "height",
]

_FEATURES: dict[int, Feature] = {
    0: "timestamp",
    1: "multiple_users",
    2: "basal_metabolism",
    3: "muscle_percentage",
    4: "muscle_mass",
    5: "fat_free_mass",
    6: "soft_lean_mass",
    7: "body_water_mass",
    8: "impedance",
    9: "weight",
    10: "height",
}


class BodyComposition(Weighing):
    """One measurement of a body composition analyser, from one packet or two."""

    kind: ClassVar[str] = "body_composition"
    retained: ClassVar[bool] = True

    body_fat_pct: Annotated[float | None, quantity("%", mdc=188748, loinc="41982-0")] = None
    """``null`` if it could not be measured; unset by scales that leave it to their app."""
    basal_metabolism_kj: Annotated[int | None, quantity("kJ")] = None
    muscle_pct: Annotated[float | None, quantity("%")] = None
    muscle_mass_kg: Annotated[float | None, quantity("kg")] = None
    fat_free_mass_kg: Annotated[float | None, quantity("kg", mdc=188756)] = None
    soft_lean_mass_kg: Annotated[float | None, quantity("kg", mdc=188760)] = None
    body_water_mass_kg: Annotated[float | None, quantity("kg", mdc=188764)] = None
    impedance_ohm: Annotated[float | None, quantity("Ohm")] = None
    weight_kg: Annotated[float | None, quantity("kg", mdc=188736, loinc="29463-7")] = None
    height_m: Annotated[float | None, quantity("m", mdc=188740, loinc="8302-2")] = None
    multiple_packet: bool = False
    """Whether the device announced that the measurement takes two packets."""


class IntermediateBodyComposition(BodyComposition):
    """What a scale shows while it measures, or instead of a result."""

    kind: ClassVar[str] = "intermediate_body_composition"
    retained: ClassVar[bool] = False
    intermediate: ClassVar[bool] = True


class BodyCompositionFeatures(Measurement):
    """What the scale measures, and its resolution; ``null`` if it does not state one."""

    kind: ClassVar[str] = "body_composition_features"

    features: list[Feature]
    mass_resolution_kg: Annotated[float | None, quantity("kg")]
    height_resolution_m: Annotated[float | None, quantity("m")]


def _layout(per_kg: int = 200, per_lb: int = 100) -> Layout:
    def mass(key: str, number_of_bit: int) -> tuple[Field, Field]:
        return scales.mass(key, bit(number_of_bit), per_kg=per_kg, per_lb=per_lb)

    return Layout(
        Field("body_fat_pct", U16, meaning=scaled(10, none=scales.FAILED), required=True),
        Field("device_time", DATE_TIME, bit(1), date_text),
        scales.user(bit(2)),
        Field("basal_metabolism_kj", U16, bit(3)),
        Field("muscle_pct", U16, bit(4), scaled(10)),
        *mass("muscle_mass_kg", 5),
        *mass("fat_free_mass_kg", 6),
        *mass("soft_lean_mass_kg", 7),
        *mass("body_water_mass_kg", 8),
        Field("impedance_ohm", U16, bit(9), scaled(10)),
        *mass("weight_kg", 10),
        *scales.height(bit(11)),
        flags=U16,
        facts=(Fact("multiple_packet", lambda flags: bool(flags & 1 << 12)),),
    )


def _impedance(ohm: int) -> int | None:
    # Xiaomi's app does not use more (ble_monitor miscale.py).
    return ohm if 0 < ohm <= _MOST_OHM else None


# Xiaomi sends the flags and the date-time where the standard has the flags and the body fat. Its
# weight in catty counts hundredths of 0.5 kg, which is the same number as steps of 0.005 kg.
_XIAOMI = Layout(
    Field("device_time", DATE_TIME, meaning=date_text, required=True),
    Field("", U16, no_bit(9), nothing, required=True),
    Field("impedance_ohm", U16, bit(9), _impedance, required=True),
    Field("weight_kg", U16, no_bit(0), scaled(200, none=scales.FAILED), required=True),
    Field("weight_kg", U16, bit(0), scales.pounds(100), required=True),
    flags=U16,
    facts=xiaomi_flags(stabilized=13, load_removed=15),
)

_list_features = words(_FEATURES)


def _feature(raw: int) -> dict[str, Any]:
    return {
        "features": _list_features(raw),
        "mass_resolution_kg": scales.MASS_STEPS_KG.get(raw >> 11 & 0x0F),
        "height_resolution_m": scales.HEIGHT_STEPS_M.get(raw >> 15 & 0x07),
    }


_STANDARD = _layout()
_TENTHS = _layout(per_kg=10)
_TWENTIETHS = _layout(per_kg=20, per_lb=10)
_FEATURE = Layout(Field("", U32, meaning=_feature, required=True))
_IN_EVERY_PACKET = {"body_fat_pct", "multiple_packet", "truncated"}


def _read(layout: Layout, data: bytes) -> dict[str, Any]:
    fields = layout.read(data)
    if "truncated" in fields and fields.keys() <= _IN_EVERY_PACKET:
        # None of the announced fields is there: the packet is broken, not just cut short.
        raise Truncated(f"offset 4: expected {layout.size(data)} bytes, found {len(data)}")
    return fields


def decode_body_composition(data: bytes) -> BodyComposition:
    """Decode 2A9C: flags u16, body fat u16 (0.1 %), then the fields that the flags announce.

    These are: date-time, user u8, basal metabolism u16 (kJ), muscle u16 (0.1 %), the masses of
    muscle, fat free, soft lean and body water (u16, 0.005 kg or 0.01 lb), impedance u16 (0.1 Ohm),
    weight (as the masses), height u16 (0.001 m or 0.1 in).
    """
    return BodyComposition.of(_read(_STANDARD, data))


def decode_tenths(data: bytes) -> BodyComposition:
    """Decode 2A9C with masses in steps of 0.1 kg; its body water is not a mass and is left out."""
    fields = _read(_TENTHS, data)
    # A Shape50 sent 703 along with 74.4 kg and 9.2 % fat: this seems to be per mille.
    fields.pop("body_water_mass_kg", None)
    return BodyComposition.of(fields)


def decode_twentieths(data: bytes) -> BodyComposition:
    """Decode 2A9C with masses in steps of 0.05 kg or 0.1 lb."""
    return BodyComposition.of(_read(_TWENTIETHS, data))


def decode_xiaomi(data: bytes) -> BodyComposition:
    """Decode Xiaomi's layout of 2A9C: flags u16, date-time, impedance u16, weight u16 (13 bytes).

    Flags: 0 pounds, 9 impedance present (in Ohm), 13 stabilized, 14 catty, 15 load removed; no
    body fat. Weight: 0.005 kg, 0.01 lb or 0.01 catty.
    """
    return BodyComposition.of(_XIAOMI.read(data))


def decode_feature(data: bytes) -> BodyCompositionFeatures:
    """Decode 2A9B: u32 of features (11 bits), mass (4 bits) and height resolution (3 bits)."""
    return BodyCompositionFeatures.of(_FEATURE.read(data))
