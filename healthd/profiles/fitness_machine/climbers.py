"""Step Climber Data (0x2ACF) and Stair Climber Data (0x2AD0)."""

from typing import Annotated, ClassVar

from healthd.profiles.fitness_machine.records import (
    WHOLE_RECORD,
    Record,
    StepRate,
    ending,
    read,
)
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import U16
from healthd.samples import quantity


class Climber(Record):
    """Data that both kinds of climbers send."""

    floors: Annotated[int | None, quantity("{floors}")] = None
    step_rate_spm: StepRate = None
    average_step_rate_spm: StepRate = None
    positive_elevation_gain_m: Annotated[int | None, quantity("m")] = None


class StepClimber(Climber):
    """Data of a step climber (stepper), sent at least once a second."""

    kind: ClassVar[str] = "step_climber"

    step_count: Annotated[int | None, quantity("{steps}")] = None


class StairClimber(Climber):
    """Data of a stair climber, sent at least once a second."""

    kind: ClassVar[str] = "stair_climber"

    stride_count: Annotated[int | None, quantity("{strides}")] = None


_STEP = Layout(
    Field("floors", U16, no_bit(0), required=True),
    Field("step_count", U16, no_bit(0)),
    Field("step_rate_spm", U16, bit(1)),
    Field("average_step_rate_spm", U16, bit(2)),
    Field("positive_elevation_gain_m", U16, bit(3)),
    *ending(4),
    flags=U16,
    facts=(WHOLE_RECORD,),
)

_STAIR = Layout(
    Field("floors", U16, no_bit(0), required=True),
    Field("step_rate_spm", U16, bit(1)),
    Field("average_step_rate_spm", U16, bit(2)),
    Field("positive_elevation_gain_m", U16, bit(3)),
    Field("stride_count", U16, bit(4)),
    *ending(5),
    flags=U16,
    facts=(WHOLE_RECORD,),
)


def decode_step_climber(data: bytes) -> StepClimber:
    """Decode 2ACF: flags u16 · floors u16 and steps u16 if bit 0 is 0 · fields of bits 1 to 8."""
    return StepClimber.of(read(data, _STEP))


def decode_stair_climber(data: bytes) -> StairClimber:
    """Decode 2AD0: flags u16 · floors u16 if bit 0 is 0 · fields of bits 1 to 9."""
    return StairClimber.of(read(data, _STAIR))
