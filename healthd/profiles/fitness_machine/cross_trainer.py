"""Cross Trainer Data (0x2ACE)."""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.fitness_machine.records import (
    NARROW,
    NO_S16,
    NO_U16,
    SPEED,
    WHOLE_RECORD,
    WIDE,
    AveragePower,
    AverageSpeed,
    Degrees,
    Distance,
    Percent,
    Power,
    ResistedRecord,
    Speed,
    StepRate,
    ending,
    fitting,
    read,
    width,
)
from healthd.profiles.packet.layout import Fact, Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import S16, U16, U24, Wire, number, scaled
from healthd.samples import quantity

Direction = Literal["forward", "backward"]

_BACKWARD = 0x8000


class CrossTrainer(ResistedRecord):
    """Data of a cross trainer (elliptical), sent at least once a second."""

    kind: ClassVar[str] = "cross_trainer"

    speed_mps: Speed = None
    average_speed_mps: AverageSpeed = None
    total_distance_m: Distance = None
    step_rate_spm: StepRate = None
    average_step_rate_spm: StepRate = None
    stride_count: Annotated[float | None, quantity("{strides}")] = None
    positive_elevation_gain_m: Annotated[int | None, quantity("m")] = None
    negative_elevation_gain_m: Annotated[int | None, quantity("m")] = None
    """As sent: machines that do not count it send 65535."""
    inclination_pct: Percent = None
    ramp_angle_deg: Degrees = None
    power_w: Power = None
    average_power_w: AveragePower = None
    movement_direction: Direction | None = None


def _direction(flags: int) -> Direction:
    return "backward" if flags & _BACKWARD else "forward"


def _layout(form: Wire) -> Layout:
    return Layout(
        Field("speed_mps", U16, no_bit(0), SPEED, required=True),
        Field("average_speed_mps", U16, bit(1), SPEED),
        Field("total_distance_m", U24, bit(2)),
        Field("step_rate_spm", U16, bit(3), number(NO_U16)),
        Field("average_step_rate_spm", U16, bit(3), number(NO_U16)),
        Field("stride_count", U16, bit(4), scaled(10)),
        Field("positive_elevation_gain_m", U16, bit(5)),
        Field("negative_elevation_gain_m", U16, bit(5)),
        Field("inclination_pct", S16, bit(6), scaled(10, none=NO_S16)),
        Field("ramp_angle_deg", S16, bit(6), scaled(10, none=NO_S16)),
        Field("resistance_raw", form, bit(7)),
        Field("power_w", S16, bit(8)),
        Field("average_power_w", S16, bit(9)),
        *ending(10),
        flags=U24,
        facts=(WHOLE_RECORD, width(form, bit(7)), Fact("movement_direction", _direction)),
    )


_WIDE, _NARROW = _layout(WIDE), _layout(NARROW)


def decode_cross_trainer(data: bytes) -> CrossTrainer:
    """Decode 2ACE: flags u24 · speed u16 0.01 km/h if bit 0 is 0 · fields of bits 1 to 14.

    Bit 15 is the direction. Resistance is an s16, or a u8 if that fits the packet's length exactly.
    """
    return CrossTrainer.of(read(data, fitting(data, _WIDE, _NARROW)))


def decode_life_fitness_cross_trainer(data: bytes) -> CrossTrainer:
    """Decode 2ACE of a Life Fitness elliptical, which fills fields that it does not measure.

    Some send 0 as the speed in every packet: while the machine moves, that is not a measurement.
    The elevation lost is 65535 if it is not counted. A step of the resistance is a tenth of the
    level on its display.
    """
    fields = read(data, fitting(data, _WIDE, _NARROW))
    if fields.get("speed_mps") == 0 and (fields.get("power_w") or fields.get("step_rate_spm")):
        fields["speed_mps"] = None
    if fields.get("negative_elevation_gain_m") == NO_U16:
        fields["negative_elevation_gain_m"] = None
    if fields.get("resistance_raw") is not None:
        fields["resistance_raw_scale"] = 0.1
    return CrossTrainer.of(fields)
