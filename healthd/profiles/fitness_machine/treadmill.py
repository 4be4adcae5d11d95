"""Treadmill Data (0x2ACD)."""

from typing import Annotated, ClassVar

from healthd.profiles.fitness_machine.levels import inclination_of
from healthd.profiles.fitness_machine.records import (
    NO_S16,
    PACE,
    SPEED,
    WHOLE_RECORD,
    AverageSpeed,
    Degrees,
    Distance,
    Elevation,
    Percent,
    Power,
    Record,
    Speed,
    ending,
    read,
)
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import S16, U8, U16, U24, Meaning, Wire, number, scaled
from healthd.samples import quantity

# 0.1 km/min to s per 500 m: 0.5 km / (raw * 0.1 km/min) * 60 s/min.
_PACE_OF_TENTHS = 300


# Whole seconds, or a fraction if the pace was sent in tenths of km/min.
_Pace = Annotated[int | float | None, quantity("s/(500.m)")]


class Treadmill(Record):
    """Data of a treadmill, sent at least once a second."""

    kind: ClassVar[str] = "treadmill"

    speed_mps: Speed = None
    average_speed_mps: AverageSpeed = None
    total_distance_m: Distance = None
    inclination_pct: Percent = None
    ramp_angle_deg: Degrees = None
    positive_elevation_gain_m: Elevation = None
    negative_elevation_gain_m: Elevation = None
    """As sent: machines that do not count it send 3276.7 or 6553.5."""
    pace_s_per_500m: _Pace = None
    average_pace_s_per_500m: _Pace = None
    force_on_belt_n: Annotated[int | None, quantity("N")] = None
    power_w: Power = None
    step_count: Annotated[int | None, quantity("{steps}")] = None


def _pace_of_tenths(raw: int) -> float | None:
    # A standing user has no pace. Three decimals keep the fastest paces distinct.
    return round(_PACE_OF_TENTHS / raw, 3) if raw else None


_TENTHS = scaled(10, none=NO_S16)


def _layout(pace: Wire, meaning: Meaning, inclination: Meaning, *steps: Field) -> Layout:
    return Layout(
        Field("speed_mps", U16, no_bit(0), SPEED, required=True),
        Field("average_speed_mps", U16, bit(1), SPEED),
        Field("total_distance_m", U24, bit(2)),
        Field("inclination_pct", S16, bit(3), inclination),
        Field("ramp_angle_deg", S16, bit(3), _TENTHS),
        Field("positive_elevation_gain_m", U16, bit(4), scaled(10)),
        Field("negative_elevation_gain_m", U16, bit(4), scaled(10)),
        Field("pace_s_per_500m", pace, bit(5), meaning),
        Field("average_pace_s_per_500m", pace, bit(6), meaning),
        *ending(7),
        Field("force_on_belt_n", S16, bit(12), number(NO_S16)),
        Field("power_w", S16, bit(12), number(NO_S16)),
        *steps,
        flags=U16,
        facts=(WHOLE_RECORD,),
    )


# Not in the service's first edition, in which bit 13 is reserved; walking pads send it.
_STEPS = Field("step_count", U24, bit(13))


def _layouts(inclination: Meaning) -> tuple[Layout, ...]:
    """Return the layouts that a packet may have, the usual one first."""
    return tuple(
        _layout(pace, meaning, inclination, *steps)
        for steps in ((_STEPS,), ())
        for pace, meaning in ((U16, PACE), (U8, _pace_of_tenths))
    )


_STANDARD, _LEVELS = _layouts(_TENTHS), _layouts(inclination_of)


def _read(data: bytes, layouts: tuple[Layout, ...]) -> Treadmill:
    fits = (layout for layout in layouts if layout.size(data) == len(data))
    return Treadmill.of(read(data, next(fits, layouts[0])))


def decode_treadmill(data: bytes) -> Treadmill:
    """Decode 2ACD: flags u16 · speed u16 0.01 km/h if bit 0 is 0 · fields of bits 1 to 13.

    Paces are u16 in s per 500 m, or, as in older specifications, u8 in 0.1 km/min if that fits the
    packet's length exactly. Likewise, bit 13 announces nothing if the packet ends before the step
    count.
    """
    return _read(data, _STANDARD)


def decode_levels(data: bytes) -> Treadmill:
    """Decode 2ACD with the inclination as a share of 15 levels (`levels`)."""
    return _read(data, _LEVELS)
