"""What a PM5 measures: records of a workout, its strokes, splits and summary."""

from typing import Annotated, ClassVar

from healthd.profiles.vendor.pm5.words import (
    IntervalType,
    Machine,
    StrokeState,
    WorkoutState,
    WorkoutType,
)
from healthd.samples import DeviceTimed, Measurement, quantity

Seconds = Annotated[float | None, quantity("s")]
Metres = Annotated[float | None, quantity("m")]
WholeMetres = Annotated[int | None, quantity("m")]
Pace = Annotated[float | None, quantity("s/(500.m)")]
Watts = Annotated[int | None, quantity("W")]
EnergyRate = Annotated[float | None, quantity("kJ/h")]
Rate = Annotated[int | None, quantity("/min")]
Newtons = Annotated[float | None, quantity("N")]
Number = Annotated[int | None, quantity("1")]
Strokes = Annotated[int | None, quantity("{strokes}")]
Energy = Annotated[float | None, quantity("kJ", mdc=8454263, loinc="41981-2")]
HeartRate = Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")]


class Ergometer(Measurement):
    """The state of a workout on a rower, a SkiErg or a BikeErg, several times a second.

    Time, distance and energy begin at 0 again with each interval of a workout that has intervals;
    ``interval`` then counts on.
    """

    kind: ClassVar[str] = "ergometer"

    elapsed_time_s: Seconds = None
    """Goes on while no one rows, except in a planned rest."""
    distance_m: Annotated[float | None, quantity("m", mdc=8454247)] = None
    workout_type: WorkoutType | int | None = None
    interval_type: IntervalType | int | None = None
    """``null`` if there is no interval."""
    workout_state: WorkoutState | int | None = None
    active: bool | None = None
    """Whether someone rows."""
    stroke_state: StrokeState | int | None = None
    work_distance_m: WholeMetres = None
    """Distance of the intervals that are over."""
    target_time_s: Seconds = None
    """How long the workout or the interval is to be; one of these three, or none."""
    target_distance_m: WholeMetres = None
    target_energy_kj: Annotated[float | None, quantity("kJ")] = None
    drag_factor: Number = None
    """``null`` before the monitor has measured it."""
    speed_mps: Annotated[float | None, quantity("m/s", mdc=8454254)] = None
    """This, pace, stroke rate and power are ``null`` while no one rows: the monitor then repeats
    the last ones, even after the workout."""
    stroke_rate_spm: Rate = None
    heart_rate_bpm: HeartRate = None
    """``null`` if the monitor receives no heart rate."""
    pace_s_per_500m: Pace = None
    """Also on a BikeErg, which shows it per 1000 m. ``null`` without a pace."""
    average_pace_s_per_500m: Pace = None
    rest_distance_m: WholeMetres = None
    rest_time_s: Seconds = None
    """What is left of a planned rest."""
    machine: Machine | int | None = None
    """Absent in old firmware."""
    interval: Number = None
    """How many splits, intervals and planned rests are over."""
    average_power_w: Watts = None
    total_energy_kj: Energy = None
    split_average_pace_s_per_500m: Pace = None
    split_average_power_w: Watts = None
    last_split_time_s: Seconds = None
    """``null`` before the first split is over, and if splits have this length anyway."""
    last_split_distance_m: WholeMetres = None
    power_w: Annotated[int | None, quantity("W", mdc=8454259)] = None
    """This and the next two are those of the last stroke; absent before the first one."""
    energy_per_hour_kj_per_h: EnergyRate = None
    stroke_count: Strokes = None


class ErgometerStroke(Measurement):
    """One stroke, when its drive is over."""

    kind: ClassVar[str] = "ergometer_stroke"

    elapsed_time_s: Seconds = None
    distance_m: Metres = None
    drive_length_m: Metres = None
    drive_time_s: Seconds = None
    recovery_time_s: Seconds = None
    """Of the recovery before the drive."""
    stroke_distance_m: Metres = None
    peak_force_n: Newtons = None
    average_force_n: Newtons = None
    work_j: Annotated[float | None, quantity("J")] = None
    """``null`` for the first stroke, whose beginning the monitor does not know."""
    stroke_count: Strokes = None
    power_w: Annotated[int | None, quantity("W", mdc=8454259)] = None
    energy_per_hour_kj_per_h: EnergyRate = None
    projected_time_s: Annotated[int | None, quantity("s")] = None
    """How long the workout will take at this pace; ``null`` if its end is a time."""
    projected_distance_m: WholeMetres = None
    """How far it will be; ``null`` if its end is not a time."""


class ErgometerSplit(Measurement):
    """A split or an interval that is over."""

    kind: ClassVar[str] = "ergometer_split"

    elapsed_time_s: Seconds = None
    """At its end, as in ``ergometer``."""
    distance_m: Metres = None
    split_time_s: Seconds = None
    split_distance_m: WholeMetres = None
    rest_time_s: Annotated[int | None, quantity("s")] = None
    rest_distance_m: WholeMetres = None
    interval_type: IntervalType | int | None = None
    interval: Number = None
    """Its number, from 1."""
    average_stroke_rate_spm: Rate = None
    heart_rate_bpm: HeartRate = None
    rest_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    average_pace_s_per_500m: Pace = None
    energy_kj: Annotated[float | None, quantity("kJ")] = None
    energy_per_hour_kj_per_h: EnergyRate = None
    average_speed_mps: Annotated[float | None, quantity("m/s")] = None
    average_power_w: Watts = None
    drag_factor: Number = None
    machine: Machine | int | None = None


class ErgometerWorkout(DeviceTimed):
    """A workout that is over, as in the monitor's logbook. ``device_time`` has no seconds."""

    kind: ClassVar[str] = "ergometer_workout"
    schema_version: ClassVar[int] = 1
    retained: ClassVar[bool] = True

    elapsed_time_s: Seconds = None
    total_distance_m: Annotated[float | None, quantity("m", mdc=8454247)] = None
    average_stroke_rate_spm: Rate = None
    ending_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    average_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    min_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    max_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    drag_factor: Number = None
    recovery_heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    """One minute after the end; usually ``null``, because it is known only then."""
    workout_type: WorkoutType | int | None = None
    average_pace_s_per_500m: Pace = None
    interval_type: IntervalType | int | None = None
    split_size_raw: Number = None
    """In metres or seconds, by the type of the workout."""
    split_count: Number = None
    total_energy_kj: Energy = None
    average_power_w: Watts = None
    rest_distance_m: WholeMetres = None
    rest_time_s: Annotated[int | None, quantity("s")] = None
    energy_per_hour_kj_per_h: EnergyRate = None
    machine: Machine | int | None = None


class ErgometerRecovery(DeviceTimed):
    """The heart rate one minute after a workout; ``device_time`` is that of the workout."""

    kind: ClassVar[str] = "ergometer_recovery"
    schema_version: ClassVar[int] = 1
    retained: ClassVar[bool] = True

    recovery_heart_rate_bpm: Annotated[int, quantity("/min")]


class ErgometerForceCurve(Measurement):
    """The force on the handle during one drive, in steps of equal length."""

    kind: ClassVar[str] = "ergometer_force_curve"

    forces_n: Annotated[list[float], quantity("N")]
    packets: Number = None
    """In a packet, of how many there are: what is published is joined, and lacks these two."""
    packet: Number = None


class ErgometerMachine(Measurement):
    """The machine that the monitor is mounted on."""

    kind: ClassVar[str] = "ergometer_machine"

    machine: Machine | int


class ErgometerSampleRate(Measurement):
    """How often the monitor is asked to send."""

    kind: ClassVar[str] = "ergometer_sample_rate"

    interval_s: Annotated[float, quantity("s")]
