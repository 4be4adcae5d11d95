"""Weight Scale service (0x181D). Layouts: GATT Specification Supplement."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common import scales
from healthd.profiles.common.weighing import (
    Weighing,
    are_one,
    is_over,
    phase_of,
    same_s,
    wait_s,
    xiaomi_flags,
)
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout, bit
from healthd.profiles.packet.wires import DATE_TIME, U8, U16, U32, scaled, words
from healthd.profiles.profile import Profile
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.samples import Measurement, quantity

Feature = Literal["timestamp", "multiple_users", "bmi"]

_FEATURES: dict[int, Feature] = {0: "timestamp", 1: "multiple_users", 2: "bmi"}


class Weight(Weighing):
    """The result of one weighing."""

    kind: ClassVar[str] = "weight"
    retained: ClassVar[bool] = True

    weight_kg: Annotated[float | None, quantity("kg", mdc=188736, loinc="29463-7")]
    """``null`` if it could not be measured."""
    bmi: Annotated[float | None, quantity("kg/m2", mdc=188752)] = None
    height_m: Annotated[float | None, quantity("m", mdc=188740, loinc="8302-2")] = None
    impedance_ohm: Annotated[float | None, quantity("Ohm")] = None
    """Of the body, from scales that advertise it with the weight; ``null`` if there is none."""


class IntermediateWeight(Weight):
    """What a scale shows while it measures, or instead of a result."""

    kind: ClassVar[str] = "intermediate_weight"
    retained: ClassVar[bool] = False
    intermediate: ClassVar[bool] = True


class WeightScaleFeatures(Measurement):
    """What the scale measures, and its resolution; ``null`` if it does not state one."""

    kind: ClassVar[str] = "weight_scale_features"

    features: list[Feature]
    weight_resolution_kg: Annotated[float | None, quantity("kg")]
    height_resolution_m: Annotated[float | None, quantity("m")]


def _layout(per_kg: int = 200, per_lb: int = 100) -> Layout:
    return Layout(
        *scales.mass("weight_kg", per_kg=per_kg, per_lb=per_lb, required=True),
        Field("device_time", DATE_TIME, bit(1), date_text),
        scales.user(bit(2)),
        Field("bmi", U16, bit(3), scaled(10)),
        *scales.height(bit(3)),
        flags=U8,
    )


_list_features = words(_FEATURES)


def _feature(raw: int) -> dict[str, Any]:
    return {
        "features": _list_features(raw),
        "weight_resolution_kg": scales.MASS_STEPS_KG.get(raw >> 3 & 0x0F),
        "height_resolution_m": scales.HEIGHT_STEPS_M.get(raw >> 7 & 0x07),
    }


# Xiaomi's first scale. The flags say nothing of a user or a BMI; its weight in jin counts
# hundredths of 0.5 kg, which is the same number as steps of 0.005 kg.
_XIAOMI = Layout(
    *scales.mass("weight_kg", required=True),
    Field("device_time", DATE_TIME, bit(1), date_text, required=True),
    flags=U8,
    facts=xiaomi_flags(stabilized=5, load_removed=7),
)
_WEIGHT = _layout()
_TENTHS = _layout(per_kg=10)
_TWENTIETHS = _layout(per_kg=20, per_lb=10)
_FEATURE = Layout(Field("", U32, meaning=_feature, required=True))


def decode_weight(data: bytes) -> Weight:
    """Decode 2A9D: flags u8, weight u16 (0.005 kg or 0.01 lb), then by the flags.

    The flags announce: date-time, user u8, BMI u16 (0.1 kg/m2) and height u16 (0.001 m or 0.1 in).
    """
    return Weight.of(_WEIGHT.read(data))


def decode_tenths(data: bytes) -> Weight:
    """Decode 2A9D with steps of 0.1 kg.

    Values in pounds use the standard step; no such scale has been seen to send them.
    """
    return Weight.of(_TENTHS.read(data))


def decode_twentieths(data: bytes) -> Weight:
    """Decode 2A9D with steps of 0.05 kg or 0.1 lb."""
    return Weight.of(_TWENTIETHS.read(data))


def decode_xiaomi(data: bytes) -> Weight:
    """Decode 2A9D of Xiaomi's first scale: flags u8, weight u16, date-time.

    Flags: 0 pounds, 1 date-time, 4 jin, 5 stabilized, 6 an object, 7 load removed. Weight:
    0.005 kg, 0.01 lb or 0.01 jin.
    """
    return Weight.of(_XIAOMI.read(data))


def decode_feature(data: bytes) -> WeightScaleFeatures:
    """Decode 2A9E: u32 of features (3 bits), weight (4 bits) and height resolution (3 bits)."""
    return WeightScaleFeatures.of(_FEATURE.read(data))


def _phase(packet: Weight) -> Phase:
    return phase_of(packet, (packet.weight_kg,))


def intermediate(packet: Weight) -> IntermediateWeight:
    """Return what is published of a packet without a result."""
    return IntermediateWeight.of(packet.fields())


_KIND = ResultKind(
    model=Weight,
    intermediate=intermediate,
    phase=_phase,
    values=("weight_kg",),
    updates=are_one,
    same_s=same_s,
    wait_s=wait_s,
)


_ADVERTISED = replace(_KIND, has_memory=False, is_repetition=is_over)


def weighings(options: Options) -> Episodes:
    """Return what makes results of the packets of a scale."""
    return Episodes(_KIND, options)


def advertised_weighings(options: Options) -> Episodes:
    """Return the same for a scale that advertises its packets."""
    return Episodes(_ADVERTISED, options)


PROFILE = Profile(
    name="weight_scale",
    service="181d",
    characteristics=(
        Characteristic("2a9d", Weight, decode_weight, Use.STREAM),
        Characteristic("2a9e", WeightScaleFeatures, decode_feature, Use.STATIC),
    ),
    state=weighings,
    derived=(IntermediateWeight,),
)
