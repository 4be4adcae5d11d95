"""Running Speed and Cadence service (0x1814).

Layouts: Bluetooth Running Speed and Cadence Service 1.0 and the GATT Specification Supplement,
checked against captures of real sensors (``tests/vectors``).
"""

from typing import Annotated, ClassVar

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.sensor_location import SENSOR_LOCATION
from healthd.profiles.common.speed_cadence_control import SC_CONTROL_POINT
from healthd.profiles.packet.layout import Fact, Field, Layout, bit
from healthd.profiles.packet.wires import U8, U16, U32, scaled, words
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity


class RunningSpeedCadence(Measurement):
    """One notification of a running sensor."""

    kind: ClassVar[str] = "running_speed_cadence"

    speed_mps: Annotated[float, quantity("m/s", mdc=8454254)]
    cadence_spm: Annotated[int, quantity("/min", mdc=8454255)]
    """Steps per minute, normally of both feet. The standard only says "per minute" and some sensors
    count one foot: the cadence of those that are known to do so is doubled."""
    stride_length_m: Annotated[float | None, quantity("m")] = None
    total_distance_m: Annotated[float | None, quantity("m", mdc=8454247)] = None
    """A counter."""
    running: bool
    """False if the wearer walks, or if the sensor does not distinguish walking from running."""


class RunningSpeedCadenceFeature(Measurement):
    """What the sensor can do."""

    kind: ClassVar[str] = "running_speed_cadence_feature"

    features: list[str]


def _layout(steps_per_count: int) -> Layout:
    return Layout(
        Field("speed_mps", U16, meaning=scaled(256), required=True),
        Field("cadence_spm", U8, meaning=lambda raw: raw * steps_per_count, required=True),
        Field("stride_length_m", U16, bit(0), scaled(100)),
        Field("total_distance_m", U32, bit(1), scaled(10)),
        flags=U8,
        facts=(Fact("running", lambda flags: bool(flags & 0x04)),),
    )


_MEASUREMENT = _layout(1)
_ONE_FOOT = _layout(2)

_FEATURE = Layout(
    Field(
        "features",
        U16,
        meaning=words(
            {
                0: "instantaneous_stride_length_measurement",
                1: "total_distance_measurement",
                2: "walking_or_running_status",
                3: "calibration_procedure",
                4: "multiple_sensor_locations",
            }
        ),
        required=True,
    )
)


def decode_measurement(data: bytes) -> RunningSpeedCadence:
    """Decode 2A53: flags u8, speed u16 (1/256 m/s), cadence u8, then by the flags.

    The flags announce: stride u16 (cm), distance u32 (dm).
    """
    return RunningSpeedCadence.of(_MEASUREMENT.read(data))


def decode_one_foot(data: bytes) -> RunningSpeedCadence:
    """Decode 2A53 of a sensor that counts the steps of one foot, and double them."""
    return RunningSpeedCadence.of(_ONE_FOOT.read(data))


def decode_feature(data: bytes) -> RunningSpeedCadenceFeature:
    """Decode 2A54: bits u16."""
    return RunningSpeedCadenceFeature.of(_FEATURE.read(data))


PROFILE = Profile(
    name="running_speed_cadence",
    service="1814",
    characteristics=(
        # Silence is not a stall: pods send nothing while the foot rests.
        Characteristic("2a53", RunningSpeedCadence, decode_measurement, Use.STREAM),
        Characteristic("2a54", RunningSpeedCadenceFeature, decode_feature, Use.STATIC),
        SENSOR_LOCATION,
        SC_CONTROL_POINT,
    ),
)
