"""Cycling Power service (0x1818).

Layouts: Bluetooth Cycling Power Service 1.1 and the GATT Specification Supplement, checked against
captures of real power meters (``tests/vectors``). The control point is in `control_point`.

It is not only for bicycles: running pods such as Stryd send their power here too.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.counters import (
    Cadence,
    CrankTurns,
    SpeedAndCadence,
    WheelAndCrankTurns,
)
from healthd.profiles.common.sensor_location import SENSOR_LOCATION
from healthd.profiles.cycling_power.control_point import (
    POWER_CONTROL_POINT,
    SET_CUMULATIVE_REVOLUTIONS,
    CyclingPowerControlPoint,
)
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.layout import Fact, Field, Layout, Tail, bit, both, no_bit
from healthd.profiles.packet.wires import S16, U8, U16, U24, U32, Meaning, scaled, words
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

# Wheel times are in 1/2048 s here, half a tick of Cycling Speed and Cadence; crank times are not.
_WHEEL_TICKS_PER_S = 2048
_CRANK_TICKS_PER_S = 1024

# 1/32 Nm.
_TORQUE = scaled(32)

Direction = Literal["unknown", "tangential", "radial", "lateral"]
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

DistributedSystem = Literal[
    "unspecified", "not_for_distributed_system", "usable_in_distributed_system"
]
# Two bits; 3 is reserved.
_DISTRIBUTED: dict[int, DistributedSystem] = dict(enumerate(get_args(DistributedSystem)))


class CyclingPower(WheelAndCrankTurns):
    """One notification of a power meter."""

    kind: ClassVar[str] = "cycling_power"

    power_w: Annotated[int, quantity("W", mdc=8454259)]
    """Negative if the pedals are driven, as on a fixed gear."""
    pedal_power_balance_pct: Annotated[float | None, quantity("%")] = None
    """Share of the power that the reference pedal has."""
    pedal_power_balance_reference: Literal["unknown", "left"] | None = None
    accumulated_torque_nm: Annotated[float | None, quantity("N.m")] = None
    """A counter; wraps at 2048 Nm."""
    torque_source: Literal["wheel", "crank"] | None = None
    max_force_n: Annotated[int | None, quantity("N")] = None
    min_force_n: Annotated[int | None, quantity("N")] = None
    max_torque_nm: Annotated[float | None, quantity("N.m")] = None
    min_torque_nm: Annotated[float | None, quantity("N.m")] = None
    max_angle_deg: Annotated[int | None, quantity("deg")] = None
    """Crank angle at the highest force or torque."""
    min_angle_deg: Annotated[int | None, quantity("deg")] = None
    top_dead_spot_deg: Annotated[int | None, quantity("deg")] = None
    bottom_dead_spot_deg: Annotated[int | None, quantity("deg")] = None
    accumulated_energy_kj: Annotated[int | None, quantity("kJ", mdc=8454263, loinc="41981-2")] = (
        None
    )
    """A counter."""
    offset_compensation_indicator: bool | None = None
    """True if the meter asks for an offset compensation; otherwise absent."""


class CyclingPowerVector(CrankTurns):
    """Force or torque over a part of one crank revolution."""

    kind: ClassVar[str] = "cycling_power_vector"

    measurement_direction: Direction
    first_crank_angle_deg: Annotated[int | None, quantity("deg")] = None
    """Crank angle at the first of the values."""
    forces_n: Annotated[list[int] | None, quantity("N")] = None
    torques_nm: Annotated[list[float] | None, quantity("N.m")] = None


class CyclingPowerFeature(Measurement):
    """What the power meter can do."""

    kind: ClassVar[str] = "cycling_power_feature"

    features: list[str]
    """With ``sensor_measurement_context`` the meter measures torque, without it force."""
    distributed_system: DistributedSystem | int
    """Whether it can be one of a pair, such as two pedals. A reserved code stays a number."""


def _balance(reference: str) -> Meaning:
    return lambda raw: {
        "pedal_power_balance_pct": raw / 2,
        "pedal_power_balance_reference": reference,
    }


def _torque(source: str) -> Meaning:
    return lambda raw: {"accumulated_torque_nm": _TORQUE(raw), "torque_source": source}


def _angles(raw: int) -> dict[str, int]:
    return {"max_angle_deg": raw & 0xFFF, "min_angle_deg": raw >> 12}


_MEASUREMENT = Layout(
    Field("power_w", S16, required=True),
    # If the value itself was cut off, its reference or source is left out as well.
    Field("", U8, both(bit(0), no_bit(1)), _balance("unknown")),
    Field("", U8, both(bit(0), bit(1)), _balance("left")),
    Field("", U16, both(bit(2), no_bit(3)), _torque("wheel")),
    Field("", U16, both(bit(2), bit(3)), _torque("crank")),
    Field("cumulative_wheel_revolutions", U32, bit(4)),
    Field("last_wheel_event_time_s", U16, bit(4), scaled(_WHEEL_TICKS_PER_S)),
    Field("cumulative_crank_revolutions", U16, bit(5)),
    Field("last_crank_event_time_s", U16, bit(5), scaled(_CRANK_TICKS_PER_S)),
    Field("max_force_n", S16, bit(6)),
    Field("min_force_n", S16, bit(6)),
    Field("max_torque_nm", S16, bit(7), _TORQUE),
    Field("min_torque_nm", S16, bit(7), _TORQUE),
    Field("", U24, bit(8), _angles),
    Field("top_dead_spot_deg", U16, bit(9)),
    Field("bottom_dead_spot_deg", U16, bit(10)),
    Field("accumulated_energy_kj", U16, bit(11)),
    flags=U16,
    facts=(Fact("offset_compensation_indicator", lambda _: True, bit(12)),),
)


def _array(meaning: Callable[[int], Any] | None) -> Callable[[bytes], tuple[list[Any], int]]:
    def read(rest: bytes) -> tuple[list[Any], int]:
        count = len(rest) // 2
        values = struct.unpack_from(f"<{count}h", rest)
        return [*(map(meaning, values) if meaning else values)], count * 2

    return read


def _vector(tail: Tail | None) -> Layout:
    return Layout(
        Field("cumulative_crank_revolutions", U16, bit(0)),
        Field("last_crank_event_time_s", U16, bit(0), scaled(_CRANK_TICKS_PER_S)),
        Field("first_crank_angle_deg", U16, bit(1)),
        flags=U8,
        facts=(Fact("measurement_direction", lambda flags: _DIRECTIONS[flags >> 4 & 3]),),
        tail=tail,
    )


# By bits 2 (forces) and 3 (torques). A sensor measures one of the two. If a packet claims both, it
# does not say where the first ends, so their bytes count as trailing bytes.
_VECTORS = (
    _vector(None),
    _vector(Tail("forces_n", _array(None))),
    _vector(Tail("torques_nm", _array(_TORQUE))),
    _vector(None),
)

_FEATURES = (
    "pedal_power_balance",
    "accumulated_torque",
    "wheel_revolution_data",
    "crank_revolution_data",
    "extreme_magnitudes",
    "extreme_angles",
    "top_and_bottom_dead_spot_angles",
    "accumulated_energy",
    "offset_compensation_indicator",
    "offset_compensation",
    "content_masking",
    "multiple_sensor_locations",
    "crank_length_adjustment",
    "chain_length_adjustment",
    "chain_weight_adjustment",
    "span_length_adjustment",
    "sensor_measurement_context",
    "instantaneous_measurement_direction",
    "factory_calibration_date",
    "enhanced_offset_compensation",
)
_FEATURE_WORDS = words(dict(enumerate(_FEATURES)))


def _features(bits: int) -> dict[str, Any]:
    distributed = bits >> 20 & 3
    return {
        "features": _FEATURE_WORDS(bits),
        "distributed_system": _DISTRIBUTED.get(distributed, distributed),
    }


_FEATURE = Layout(Field("", U32, meaning=_features, required=True))


def decode_measurement(data: bytes) -> CyclingPower:
    """Decode 2A63: flags u16, power s16 (W), then the announced fields, at most 34 bytes in all."""
    return CyclingPower.of(_MEASUREMENT.read(data))


def decode_vector(data: bytes) -> CyclingPowerVector:
    """Decode 2A64: flags u8, [crank u16, time u16], [angle u16], s16 forces or torques."""
    layout = _VECTORS[data[0] >> 2 & 3 if data else 0]
    return CyclingPowerVector.of(layout.read(data))


def decode_feature(data: bytes) -> CyclingPowerFeature:
    """Decode 2A65: bits u32."""
    return CyclingPowerFeature.of(_FEATURE.read(data))


class CyclingPowerState:
    """Computes speed and cadence from the counters of one link."""

    def __init__(self, options: Options) -> None:
        """Start a link without earlier counters."""
        self._turns = SpeedAndCadence(
            options.wheel_circumference_m, wheel_ticks_per_s=_WHEEL_TICKS_PER_S
        )
        self._vector = Cadence()

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the measurement with its speed and cadence; nothing for the control point."""
        if isinstance(measurement, CyclingPowerControlPoint):
            # The counter is set at an unknown time between the request and its response.
            if SET_CUMULATIVE_REVOLUTIONS in (measurement.opcode, measurement.request_opcode):
                self._turns.forget_wheel()
            return ()
        if isinstance(measurement, CyclingPower):
            measurement = self._turns.with_rates(measurement, mono_ns)
        elif isinstance(measurement, CyclingPowerVector):
            measurement = self._vector.with_rates(measurement, mono_ns)
        return (Timed(measurement, mono_ns),)


PROFILE = Profile(
    name="cycling_power",
    service="1818",
    characteristics=(
        # No silence counts as a stall: many meters send nothing while the rider does not pedal.
        Characteristic("2a63", CyclingPower, decode_measurement, Use.STREAM),
        Characteristic("2a64", CyclingPowerVector, decode_vector, Use.STREAM, accompanies=True),
        Characteristic("2a65", CyclingPowerFeature, decode_feature, Use.STATIC),
        SENSOR_LOCATION,
        POWER_CONTROL_POINT,
    ),
    state=CyclingPowerState,
)
