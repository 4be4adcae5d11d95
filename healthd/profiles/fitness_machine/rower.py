"""Rower Data (0x2AD1)."""

from typing import Annotated, ClassVar

from healthd.profiles.fitness_machine.records import (
    NARROW,
    PACE,
    WHOLE_RECORD,
    WIDE,
    AveragePower,
    Distance,
    Pace,
    PerMinute,
    Power,
    ResistedRecord,
    ending,
    fitting,
    read,
    width,
)
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import S16, U8, U16, U24, Wire, scaled
from healthd.samples import quantity


class Rower(ResistedRecord):
    """Data of a rowing machine, sent at least once a second."""

    kind: ClassVar[str] = "rower"

    stroke_rate_spm: PerMinute = None
    stroke_count: Annotated[int | None, quantity("{strokes}")] = None
    average_stroke_rate_spm: PerMinute = None
    total_distance_m: Distance = None
    pace_s_per_500m: Pace = None
    average_pace_s_per_500m: Pace = None
    power_w: Power = None
    average_power_w: AveragePower = None


def _layout(form: Wire, steps_per_stroke: int = 2, steps_per_kcal: int = 1) -> Layout:
    rate = scaled(steps_per_stroke)
    return Layout(
        Field("stroke_rate_spm", U8, no_bit(0), rate, required=True),
        Field("stroke_count", U16, no_bit(0)),
        Field("average_stroke_rate_spm", U8, bit(1), rate),
        Field("total_distance_m", U24, bit(2)),
        Field("pace_s_per_500m", U16, bit(3), PACE),
        Field("average_pace_s_per_500m", U16, bit(4), PACE),
        Field("power_w", S16, bit(5)),
        Field("average_power_w", S16, bit(6)),
        Field("resistance_raw", form, bit(7)),
        *ending(8, steps_per_kcal),
        flags=U16,
        facts=(
            WHOLE_RECORD,
            width(form, bit(7)),
        ),
    )


_WIDE, _NARROW = _layout(WIDE), _layout(NARROW)
_WHOLE_STROKES = tuple(_layout(form, steps_per_stroke=1) for form in (WIDE, NARROW))
_TENTHS_OF_KCAL = tuple(_layout(form, steps_per_kcal=10) for form in (WIDE, NARROW))


def decode_rower(data: bytes) -> Rower:
    """Decode 2AD1: flags u16 · stroke rate u8 1/2 per minute and count u16 if bit 0 is 0 · others.

    Resistance is an s16, or a u8 if that fits the packet's length exactly.
    """
    return Rower.of(read(data, fitting(data, _WIDE, _NARROW)))


def decode_whole_strokes(data: bytes) -> Rower:
    """Decode 2AD1 with stroke rates in whole strokes per minute, not in halves."""
    return Rower.of(read(data, fitting(data, *_WHOLE_STROKES)))


def decode_tenths_of_kcal(data: bytes) -> Rower:
    """Decode 2AD1 with the total energy in steps of 0.1 kcal; the rates of energy are in kcal."""
    return Rower.of(read(data, fitting(data, *_TENTHS_OF_KCAL)))
