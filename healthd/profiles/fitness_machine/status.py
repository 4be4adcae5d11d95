"""Training Status (0x2AD3) and Fitness Machine Status (0x2ADA)."""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.fitness_machine.levels import inclination_of
from healthd.profiles.fitness_machine.records import NARROW, WIDE, fitting
from healthd.profiles.fitness_machine.targets import RESERVED, TENTHS, Target, opcode, parameters
from healthd.profiles.packet.layout import Fact, Field, Layout, Tail, bit
from healthd.profiles.packet.wires import U8, Meaning, Wire, word
from healthd.samples import Measurement, quantity

Training = Literal[
    "other",
    "idle",
    "warming_up",
    "low_intensity_interval",
    "high_intensity_interval",
    "recovery_interval",
    "isometric",
    "heart_rate_control",
    "fitness_test",
    "speed_outside_low",
    "speed_outside_high",
    "cool_down",
    "watt_control",
    "manual_mode",
    "pre_workout",
    "post_workout",
]
Event = Literal[
    "reset",
    "stopped_or_paused_by_user",
    "stopped_by_safety_key",
    "started_or_resumed_by_user",
    "target_speed_changed",
    "target_inclination_changed",
    "target_resistance_changed",
    "target_power_changed",
    "target_heart_rate_changed",
    "target_expended_energy_changed",
    "target_step_number_changed",
    "target_stride_number_changed",
    "target_distance_changed",
    "target_training_time_changed",
    "target_time_two_hr_zones_changed",
    "target_time_three_hr_zones_changed",
    "target_time_five_hr_zones_changed",
    "indoor_bike_simulation_changed",
    "wheel_circumference_changed",
    "spin_down_status",
    "target_cadence_changed",
    "control_permission_lost",
    "reserved",
]
StopAction = Literal["stop", "pause", "reserved"]
SpinDown = Literal["requested", "success", "error", "stop_pedalling"]

_TRAINING: dict[int, Training] = {
    0: "other",
    1: "idle",
    2: "warming_up",
    3: "low_intensity_interval",
    4: "high_intensity_interval",
    5: "recovery_interval",
    6: "isometric",
    7: "heart_rate_control",
    8: "fitness_test",
    9: "speed_outside_low",
    10: "speed_outside_high",
    11: "cool_down",
    12: "watt_control",
    13: "manual_mode",
    14: "pre_workout",
    15: "post_workout",
}
_EVENTS: dict[int, Event] = {
    0x01: "reset",
    0x02: "stopped_or_paused_by_user",
    0x03: "stopped_by_safety_key",
    0x04: "started_or_resumed_by_user",
    0x05: "target_speed_changed",
    0x06: "target_inclination_changed",
    0x07: "target_resistance_changed",
    0x08: "target_power_changed",
    0x09: "target_heart_rate_changed",
    0x0A: "target_expended_energy_changed",
    0x0B: "target_step_number_changed",
    0x0C: "target_stride_number_changed",
    0x0D: "target_distance_changed",
    0x0E: "target_training_time_changed",
    0x0F: "target_time_two_hr_zones_changed",
    0x10: "target_time_three_hr_zones_changed",
    0x11: "target_time_five_hr_zones_changed",
    0x12: "indoor_bike_simulation_changed",
    0x13: "wheel_circumference_changed",
    0x14: "spin_down_status",
    0x15: "target_cadence_changed",
    0xFF: "control_permission_lost",
}
_STOPS: dict[int, StopAction] = {1: "stop", 2: "pause"}
_SPIN_DOWN: dict[int, SpinDown] = {1: "requested", 2: "success", 3: "error", 4: "stop_pedalling"}


class TrainingStatus(Measurement):
    """The part of a workout that the machine is in."""

    kind: ClassVar[str] = "training_status"

    status_code: Annotated[int, quantity("1")]
    status: Training | int
    """A code without a name stays a number."""
    string: str | None = None
    """The machine's own text; cut short if it is longer than a notification."""


class FitnessMachineStatus(Target):
    """Something that happened to the machine, or a target that a client or the user changed."""

    kind: ClassVar[str] = "fitness_machine_status"
    is_event: ClassVar[bool] = True

    name: Event
    action: StopAction | None = None
    spin_down_status: SpinDown | int | None = None


def _text(rest: bytes) -> tuple[str, int]:
    # Bytes after a NUL are padding.
    return rest.partition(b"\0")[0].decode("utf-8", "replace"), len(rest)


def _named(number: int) -> Event:
    return _EVENTS.get(number, RESERVED)


def _status(code: int) -> dict[str, int | str]:
    return {"status_code": code, "status": word(_TRAINING)(code)}


_TRAINING_STATUS = Layout(
    Field("", U8, meaning=_status, required=True), flags=U8, tail=Tail("string", _text, bit(0))
)


def _layout(width: Wire, inclination: Meaning = TENTHS) -> Layout:
    return Layout(
        *parameters(0x05, energy_first=0x0A, cadence=0x15, width=width, inclination=inclination),
        Field("action", U8, opcode(0x02), lambda number: _STOPS.get(number, RESERVED)),
        Field("spin_down_status", U8, opcode(0x14), word(_SPIN_DOWN)),
        flags=U8,
        facts=(Fact("opcode", int), Fact("name", _named)),
    )


_WIDE, _NARROW = _layout(WIDE), _layout(NARROW)
_LEVELS = _layout(WIDE, inclination_of), _layout(NARROW, inclination_of)


def decode_training_status(data: bytes) -> TrainingStatus:
    """Decode 2AD3: flags u8 · status u8 · text in UTF-8 to the end, if bit 0 is 1."""
    return TrainingStatus.of(_TRAINING_STATUS.read(data))


def decode_status(data: bytes) -> FitnessMachineStatus:
    """Decode 2ADA: opcode u8 · its parameter, as in the control point."""
    return FitnessMachineStatus.of(fitting(data, _WIDE, _NARROW).read(data))


def decode_status_in_levels(data: bytes) -> FitnessMachineStatus:
    """Decode 2ADA with the inclination as a share of 15 levels (`levels`)."""
    return FitnessMachineStatus.of(fitting(data, *_LEVELS).read(data))
