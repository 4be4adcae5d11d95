"""Cycling Speed and Cadence service (0x1816).

Layouts: Bluetooth Cycling Speed and Cadence Service 1.0 and the GATT Specification Supplement,
checked against captures of real sensors (``tests/vectors``).
"""

from collections.abc import Iterable
from typing import ClassVar

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.counters import SpeedAndCadence, WheelAndCrankTurns
from healthd.profiles.common.sensor_location import SENSOR_LOCATION
from healthd.profiles.common.speed_cadence_control import (
    SC_CONTROL_POINT,
    SET_CUMULATIVE_VALUE,
    SpeedCadenceControlPoint,
)
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.layout import Field, Layout, bit
from healthd.profiles.packet.wires import U8, U16, U32, scaled, words
from healthd.profiles.profile import Profile
from healthd.samples import Measurement

# Event times are u16 in 1/1024 s.
_TICKS_PER_S = 1024


class CyclingSpeedCadence(WheelAndCrankTurns):
    """One notification of a speed sensor, a cadence sensor or a combined sensor."""

    kind: ClassVar[str] = "cycling_speed_cadence"


class CyclingSpeedCadenceFeature(Measurement):
    """What the sensor can do."""

    kind: ClassVar[str] = "cycling_speed_cadence_feature"

    features: list[str]


_MEASUREMENT = Layout(
    Field("cumulative_wheel_revolutions", U32, bit(0)),
    Field("last_wheel_event_time_s", U16, bit(0), scaled(_TICKS_PER_S)),
    Field("cumulative_crank_revolutions", U16, bit(1)),
    Field("last_crank_event_time_s", U16, bit(1), scaled(_TICKS_PER_S)),
    flags=U8,
)

_FEATURE = Layout(
    Field(
        "features",
        U16,
        meaning=words(
            {0: "wheel_revolution_data", 1: "crank_revolution_data", 2: "multiple_sensor_locations"}
        ),
        required=True,
    )
)


def decode_measurement(data: bytes) -> CyclingSpeedCadence:
    """Decode 2A5B: flags u8, [wheel u32, time u16], [crank u16, time u16]; times in 1/1024 s."""
    return CyclingSpeedCadence.of(_MEASUREMENT.read(data))


def decode_feature(data: bytes) -> CyclingSpeedCadenceFeature:
    """Decode 2A5C: bits u16."""
    return CyclingSpeedCadenceFeature.of(_FEATURE.read(data))


class CyclingSpeedCadenceState:
    """Computes speed and cadence from the counters, during one link."""

    def __init__(self, options: Options) -> None:
        """Start without a packet."""
        self._turns = SpeedAndCadence(options.wheel_circumference_m, wheel_ticks_per_s=_TICKS_PER_S)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the measurement with speed and cadence; nothing for control point messages."""
        if isinstance(measurement, SpeedCadenceControlPoint):
            # The sensor sets the counter at some moment between the request and the response.
            if SET_CUMULATIVE_VALUE in (measurement.opcode, measurement.request_opcode):
                self._turns.forget_wheel()
            return ()
        if isinstance(measurement, CyclingSpeedCadence):
            measurement = self._turns.with_rates(measurement, mono_ns)
        return (Timed(measurement, mono_ns),)


PROFILE = Profile(
    name="cycling_speed_cadence",
    service="1816",
    characteristics=(
        # Silence is not a stall: many sensors send nothing while the wheel is not turning.
        Characteristic("2a5b", CyclingSpeedCadence, decode_measurement, Use.STREAM),
        Characteristic("2a5c", CyclingSpeedCadenceFeature, decode_feature, Use.STATIC),
        SENSOR_LOCATION,
        SC_CONTROL_POINT,
    ),
    state=CyclingSpeedCadenceState,
)
