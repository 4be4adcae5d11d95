"""Corrects the speeds of machines that send miles per hour where the service has km/h."""

from fractions import Fraction

from healthd.profiles.options import Options
from healthd.profiles.packet.resolution import decimals
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

# 0.01 km/h in m/s.
_STEP = Fraction(1, 360)


def correct_speeds(options: Options, measurement: Measurement) -> Measurement:
    """Return the measurement with its speeds multiplied by the factor in the settings."""
    factor = options.speed_factor
    if factor == 1:
        return measurement
    digits = decimals(_STEP * Fraction(factor))
    sent = {key: getattr(measurement, key, None) for key in _SPEEDS}
    speeds = {
        key: round(speed * factor, digits) for key, speed in sent.items() if speed is not None
    }
    return measurement.model_copy(update=speeds) if speeds else measurement
