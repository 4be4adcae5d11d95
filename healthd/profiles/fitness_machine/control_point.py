"""Fitness Machine Control Point (0x2AD9): decodes requests and responses.

`healthd.profiles.fitness_machine.commands` encodes requests. Layout: Fitness Machine
Service, checked against captures of trainers (``tests/vectors``).
"""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.fitness_machine.levels import inclination_of
from healthd.profiles.fitness_machine.records import NARROW, SPEED, WIDE, fitting
from healthd.profiles.fitness_machine.targets import RESERVED, TENTHS, Target, opcode, parameters
from healthd.profiles.packet.layout import Fact, Field, Layout
from healthd.profiles.packet.wires import U8, U16, Meaning, Wire, word
from healthd.samples import quantity

Command = Literal[
    "request_control",
    "reset",
    "set_target_speed",
    "set_target_inclination",
    "set_target_resistance",
    "set_target_power",
    "set_target_heart_rate",
    "start_or_resume",
    "stop_or_pause",
    "set_target_expended_energy",
    "set_target_step_number",
    "set_target_stride_number",
    "set_target_distance",
    "set_target_training_time",
    "set_target_time_two_hr_zones",
    "set_target_time_three_hr_zones",
    "set_target_time_five_hr_zones",
    "set_indoor_bike_simulation",
    "set_wheel_circumference",
    "spin_down_control",
    "set_target_cadence",
    "response",
    "reserved",
]
Result = Literal[
    "success",
    "opcode_not_supported",
    "invalid_parameter",
    "operation_failed",
    "control_not_permitted",
]
Action = Literal["start", "stop", "pause", "ignore", "reserved"]

_RESPONSE = 0x80
_SPIN_DOWN = 0x13
_SUCCESS = 1

_COMMANDS: dict[int, Command] = {
    0x00: "request_control",
    0x01: "reset",
    0x02: "set_target_speed",
    0x03: "set_target_inclination",
    0x04: "set_target_resistance",
    0x05: "set_target_power",
    0x06: "set_target_heart_rate",
    0x07: "start_or_resume",
    0x08: "stop_or_pause",
    0x09: "set_target_expended_energy",
    0x0A: "set_target_step_number",
    0x0B: "set_target_stride_number",
    0x0C: "set_target_distance",
    0x0D: "set_target_training_time",
    0x0E: "set_target_time_two_hr_zones",
    0x0F: "set_target_time_three_hr_zones",
    0x10: "set_target_time_five_hr_zones",
    0x11: "set_indoor_bike_simulation",
    0x12: "set_wheel_circumference",
    _SPIN_DOWN: "spin_down_control",
    0x14: "set_target_cadence",
    _RESPONSE: "response",
}
_RESULTS: dict[int, Result] = {
    _SUCCESS: "success",
    2: "opcode_not_supported",
    3: "invalid_parameter",
    4: "operation_failed",
    5: "control_not_permitted",
}
_STOPS: dict[int, Action] = {1: "stop", 2: "pause"}
_SPIN_DOWNS: dict[int, Action] = {1: "start", 2: "ignore"}


class FitnessMachineControlPoint(Target):
    """A request to the machine, or its response."""

    kind: ClassVar[str] = "fitness_machine_control_point"

    name: Command
    action: Action | None = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    result_code: Annotated[int | None, quantity("1")] = None
    result: Result | int | None = None
    """A code without a name stays a number: some machines have result codes of their own."""
    spin_down_low_mps: Annotated[float | None, quantity("m/s")] = None
    """Lowest speed from which the wheel may coast; in the response to a started spin-down."""
    spin_down_high_mps: Annotated[float | None, quantity("m/s")] = None
    """Highest speed from which the wheel may coast; in the same response."""


def _named(number: int) -> Command:
    return _COMMANDS.get(number, RESERVED)


def _result(code: int) -> dict[str, int | str]:
    return {"result_code": code, "result": word(_RESULTS)(code)}


def _layout(width: Wire, *of_response: Field, inclination: Meaning = TENTHS) -> Layout:
    return Layout(
        *parameters(0x02, energy_first=0x09, cadence=0x14, width=width, inclination=inclination),
        Field("action", U8, opcode(0x08), lambda number: _STOPS.get(number, RESERVED)),
        Field("action", U8, opcode(_SPIN_DOWN), lambda number: _SPIN_DOWNS.get(number, RESERVED)),
        Field("request_opcode", U8, opcode(_RESPONSE), required=True),
        Field("", U8, opcode(_RESPONSE), _result, required=True),
        *of_response,
        flags=U8,
        facts=(Fact("opcode", int), Fact("name", _named)),
    )


_WIDE, _NARROW = _layout(WIDE), _layout(NARROW)
_LEVELS = _layout(WIDE, inclination=inclination_of)
_SPIN_DOWN_STARTED = _layout(
    WIDE,
    Field("spin_down_low_mps", U16, opcode(_RESPONSE), SPEED),
    Field("spin_down_high_mps", U16, opcode(_RESPONSE), SPEED),
)
_SPIN_DOWN_SUCCESS = bytes((_RESPONSE, _SPIN_DOWN, _SUCCESS))


def decode_control_point(data: bytes) -> FitnessMachineControlPoint:
    """Decode 2AD9: opcode u8 · its parameters; in a response the request's opcode u8 · result u8.

    The response to a started spin-down also has two speeds, u16 0.01 km/h. A target resistance is a
    u8 or an s16, depending on the packet's length. Some clients write a byte too many.
    """
    layout = fitting(data, _WIDE, _NARROW)
    # A response does not say which spin-down action it answers, so decide by whether it has speeds.
    succeeded = data.startswith(_SPIN_DOWN_SUCCESS)
    if succeeded and len(data) >= _SPIN_DOWN_STARTED.size(data):
        layout = _SPIN_DOWN_STARTED
    return FitnessMachineControlPoint.of(layout.read(data))


def decode_control_point_in_levels(data: bytes) -> FitnessMachineControlPoint:
    """Decode 2AD9 with the inclination as a share of 15 levels (`levels`)."""
    message = decode_control_point(data)
    if message.inclination_pct is None:
        return message
    return FitnessMachineControlPoint.of(_LEVELS.read(data))
