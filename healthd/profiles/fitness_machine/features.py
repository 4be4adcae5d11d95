"""Fitness Machine Feature (0x2ACC) and the five supported ranges (0x2AD4 to 0x2AD8).

Machines are often wrong about their features: trust what they send and answer instead.
"""

from typing import Annotated, ClassVar

from healthd.profiles.fitness_machine.levels import HIGHEST_PCT, inclination_of
from healthd.profiles.fitness_machine.records import SPEED, Width, fitting
from healthd.profiles.packet.layout import ALWAYS, Fact, Field, Layout
from healthd.profiles.packet.wires import S16, U8, U16, U32, Meaning, Wire, scaled, words
from healthd.samples import Measurement, quantity

_MACHINE = (
    "average_speed",
    "cadence",
    "total_distance",
    "inclination",
    "elevation_gain",
    "pace",
    "step_count",
    "resistance_level",
    "stride_count",
    "expended_energy",
    "heart_rate",
    "metabolic_equivalent",
    "elapsed_time",
    "remaining_time",
    "power_measurement",
    "force_on_belt_and_power",
    "user_data_retention",
)
_TARGETS = (
    "speed",
    "inclination",
    "resistance",
    "power",
    "heart_rate",
    "expended_energy",
    "step_number",
    "stride_number",
    "distance",
    "training_time",
    "time_two_hr_zones",
    "time_three_hr_zones",
    "time_five_hr_zones",
    "indoor_bike_simulation",
    "wheel_circumference",
    "spin_down",
    "cadence",
)


class FitnessMachineFeature(Measurement):
    """What the machine claims to measure, and which targets it claims to accept."""

    kind: ClassVar[str] = "fitness_machine_feature"

    machine_features: list[str]
    target_settings: list[str] | None = None


class SpeedRange(Measurement):
    """The target speeds that the machine accepts."""

    kind: ClassVar[str] = "supported_speed_range"

    min_mps: Annotated[float, quantity("m/s")]
    max_mps: Annotated[float | None, quantity("m/s")] = None
    increment_mps: Annotated[float | None, quantity("m/s")] = None


class InclinationRange(Measurement):
    """The target inclinations that the machine accepts."""

    kind: ClassVar[str] = "supported_inclination_range"

    min_pct: Annotated[float, quantity("%")]
    max_pct: Annotated[float | None, quantity("%")] = None
    increment_pct: Annotated[float | None, quantity("%")] = None


class ResistanceRange(Measurement):
    """The target resistances that the machine accepts, in steps as sent."""

    kind: ClassVar[str] = "supported_resistance_range"

    min_raw: Annotated[int, quantity("1")]
    max_raw: Annotated[int | None, quantity("1")] = None
    increment_raw: Annotated[int | None, quantity("1")] = None
    width: Width


class HeartRateRange(Measurement):
    """The target heart rates that the machine accepts."""

    kind: ClassVar[str] = "supported_heart_rate_range"

    min_bpm: Annotated[int, quantity("/min")]
    max_bpm: Annotated[int | None, quantity("/min")] = None
    increment_bpm: Annotated[int | None, quantity("/min")] = None


class PowerRange(Measurement):
    """The target powers that the machine accepts."""

    kind: ClassVar[str] = "supported_power_range"

    min_w: Annotated[int, quantity("W")]
    max_w: Annotated[int | None, quantity("W")] = None
    increment_w: Annotated[int | None, quantity("W")] = None


def _range(
    unit: str, limit: Wire, increment: Wire, meaning: Meaning | None = None, *facts: Fact
) -> Layout:
    return Layout(
        Field(f"min_{unit}", limit, ALWAYS, meaning, required=True),
        Field(f"max_{unit}", limit, ALWAYS, meaning),
        Field(f"increment_{unit}", increment, ALWAYS, meaning),
        facts=facts,
    )


def _width(name: Width) -> Fact:
    return Fact("width", lambda _: name)


_FEATURE = Layout(
    Field("machine_features", U32, ALWAYS, words(dict(enumerate(_MACHINE))), required=True),
    Field("target_settings", U32, ALWAYS, words(dict(enumerate(_TARGETS)))),
)
_SPEED = _range("mps", U16, U16, SPEED)
_INCLINATION = _range("pct", S16, U16, scaled(10))
_LEVELS = _range("pct", S16, U16, inclination_of)
_WIDE_RESISTANCE = _range("raw", S16, U16, None, _width("s16"))
_NARROW_RESISTANCE = _range("raw", U8, U8, None, _width("u8"))
_HEART_RATE = _range("bpm", U8, U8)
_POWER = _range("w", S16, U16)


def decode_feature(data: bytes) -> FitnessMachineFeature:
    """Decode 2ACC: features u32 · targets u32; reserved bits are ignored."""
    return FitnessMachineFeature.of(_FEATURE.read(data))


def decode_speed_range(data: bytes) -> SpeedRange:
    """Decode 2AD4: minimum, maximum and increment, u16 0.01 km/h."""
    return SpeedRange.of(_SPEED.read(data))


def decode_inclination_range(data: bytes) -> InclinationRange:
    """Decode 2AD5: minimum s16, maximum s16 and increment u16, 0.1 %."""
    return InclinationRange.of(_INCLINATION.read(data))


def decode_inclination_range_in_levels(data: bytes) -> InclinationRange:
    """Decode 2AD5 of a treadmill that has 15 levels of 1 % (`levels`).

    A maximum of more than 15 % is a share of the levels, as in the other values of the machine.
    """
    range_ = decode_inclination_range(data)
    if range_.max_pct is None or range_.max_pct <= HIGHEST_PCT:
        return range_
    return InclinationRange.of(_LEVELS.read(data))


def decode_resistance_range(data: bytes) -> ResistanceRange:
    """Decode 2AD6: minimum, maximum and increment: three u8, or s16, s16 and u16."""
    return ResistanceRange.of(fitting(data, _WIDE_RESISTANCE, _NARROW_RESISTANCE).read(data))


def decode_heart_rate_range(data: bytes) -> HeartRateRange:
    """Decode 2AD7: minimum, maximum and increment, u8 per minute."""
    return HeartRateRange.of(_HEART_RATE.read(data))


def decode_power_range(data: bytes) -> PowerRange:
    """Decode 2AD8: minimum s16, maximum s16 and increment u16, W."""
    return PowerRange.of(_POWER.read(data))
