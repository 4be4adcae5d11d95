"""Corrects the speeds of machines that send miles per hour where the service has km/h."""

from typing import TypeVar

from healthd.profiles.characteristic import Options
from healthd.samples import Measurement

# What machines are reported to send in their own unit. No report is about distances or paces, so
# both stay as sent.
_SPEEDS = (
    "speed_mps",
    "average_speed_mps",
    "min_mps",
    "max_mps",
    "increment_mps",
    "spin_down_low_mps",
    "spin_down_high_mps",
)

# A step of 0.01 km/h is 0.0028 m/s.
_DIGITS = 4

_Corrected = TypeVar("_Corrected", bound=Measurement)


def correct_speeds(options: Options, measurement: Measurement) -> Measurement:
    """Return the measurement with its speeds multiplied by the factor in the settings."""
    return with_speed_factor(measurement, options.speed_factor)


def with_speed_factor(measurement: _Corrected, factor: float) -> _Corrected:
    """Return the measurement with its speeds multiplied by the factor."""
    if factor == 1:
        return measurement
    sent = {key: getattr(measurement, key, None) for key in _SPEEDS}
    speeds = {
        key: round(speed * factor, _DIGITS) for key, speed in sent.items() if speed is not None
    }
    return measurement.model_copy(update=speeds) if speeds else measurement
