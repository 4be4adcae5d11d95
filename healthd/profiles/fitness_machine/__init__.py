"""Fitness Machine service (0x1826): bikes, treadmills, cross trainers, rowers and climbers."""

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.fitness_machine.climbers import (
    StairClimber,
    StepClimber,
    decode_stair_climber,
    decode_step_climber,
)
from healthd.profiles.fitness_machine.control_point import (
    FitnessMachineControlPoint,
    decode_control_point,
)
from healthd.profiles.fitness_machine.cross_trainer import CrossTrainer, decode_cross_trainer
from healthd.profiles.fitness_machine.features import (
    FitnessMachineFeature,
    HeartRateRange,
    InclinationRange,
    PowerRange,
    ResistanceRange,
    SpeedRange,
    decode_feature,
    decode_heart_rate_range,
    decode_inclination_range,
    decode_power_range,
    decode_resistance_range,
    decode_speed_range,
)
from healthd.profiles.fitness_machine.indoor_bike import IndoorBike, decode_indoor_bike
from healthd.profiles.fitness_machine.merge import Records
from healthd.profiles.fitness_machine.rower import Rower, decode_rower
from healthd.profiles.fitness_machine.speed_factor import correct_speeds
from healthd.profiles.fitness_machine.status import (
    FitnessMachineStatus,
    TrainingStatus,
    decode_status,
    decode_training_status,
)
from healthd.profiles.fitness_machine.treadmill import Treadmill, decode_treadmill
from healthd.profiles.profile import Profile

# No data characteristic has a silence limit: a machine that is not in use may send nothing.
PROFILE = Profile(
    name="fitness_machine",
    service="1826",
    characteristics=(
        Characteristic("2acd", Treadmill, decode_treadmill, Use.STREAM),
        Characteristic("2ace", CrossTrainer, decode_cross_trainer, Use.STREAM),
        Characteristic("2acf", StepClimber, decode_step_climber, Use.STREAM),
        Characteristic("2ad0", StairClimber, decode_stair_climber, Use.STREAM),
        Characteristic("2ad1", Rower, decode_rower, Use.STREAM),
        Characteristic("2ad2", IndoorBike, decode_indoor_bike, Use.STREAM),
        Characteristic("2ad3", TrainingStatus, decode_training_status, Use.STATUS),
        Characteristic("2acc", FitnessMachineFeature, decode_feature, Use.STATIC),
        Characteristic("2ad4", SpeedRange, decode_speed_range, Use.STATIC),
        Characteristic("2ad5", InclinationRange, decode_inclination_range, Use.STATIC),
        Characteristic("2ad6", ResistanceRange, decode_resistance_range, Use.STATIC),
        Characteristic("2ad7", HeartRateRange, decode_heart_rate_range, Use.STATIC),
        Characteristic("2ad8", PowerRange, decode_power_range, Use.STATIC),
        Characteristic("2ad9", FitnessMachineControlPoint, decode_control_point, Use.CONTROL),
        Characteristic("2ada", FitnessMachineStatus, decode_status, Use.STREAM, accompanies=True),
    ),
    state=Records,
    correct=correct_speeds,
)
