"""The pages of FE-C: what a trainer sends, and what is written to it."""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.wires import words
from healthd.profiles.vendor.fec.frames import page_of, surplus
from healthd.samples import Measurement, quantity

GENERAL, SETTINGS, TRAINER = 0x10, 0x11, 0x19
BASIC_RESISTANCE, TARGET_POWER, WIND, TRACK = 0x30, 0x31, 0x32, 0x33
CAPABILITIES, USER, REQUEST, COMMAND_STATUS = 0x36, 0x37, 0x46, 0x47
MANUFACTURER, PRODUCT = 0x50, 0x51

Name = Literal[
    "general",
    "settings",
    "trainer",
    "basic_resistance",
    "target_power",
    "wind_resistance",
    "track_resistance",
    "capabilities",
    "user_configuration",
    "request",
    "command_status",
    "manufacturer",
    "product",
    "other",
]
Equipment = Literal[
    "treadmill", "elliptical", "stationary_bike", "rower", "climber", "nordic_skier", "trainer"
]
State = Literal["off", "ready", "in_use", "finished"]
HeartRateSource = Literal["ant_strap", "bluetooth_strap", "hand_contact"]
Calibration = Literal["power", "resistance", "user_configuration"]
TargetState = Literal["at_target", "speed_too_low", "speed_too_high", "limit_reached"]
Mode = Literal["resistance", "power", "simulation"]
CommandStatus = Literal["pass", "fail", "not_supported", "rejected", "pending", "uninitialized"]

NAMES: Mapping[int, Name] = {
    GENERAL: "general",
    SETTINGS: "settings",
    TRAINER: "trainer",
    BASIC_RESISTANCE: "basic_resistance",
    TARGET_POWER: "target_power",
    WIND: "wind_resistance",
    TRACK: "track_resistance",
    CAPABILITIES: "capabilities",
    USER: "user_configuration",
    REQUEST: "request",
    COMMAND_STATUS: "command_status",
    MANUFACTURER: "manufacturer",
    PRODUCT: "product",
}
_EQUIPMENT: Mapping[int, Equipment] = {
    19: "treadmill",
    20: "elliptical",
    21: "stationary_bike",
    22: "rower",
    23: "climber",
    24: "nordic_skier",
    25: "trainer",
}
_STATES: Mapping[int, State] = {1: "off", 2: "ready", 3: "in_use", 4: "finished"}
_SOURCES: Mapping[int, HeartRateSource] = {
    1: "ant_strap",
    2: "bluetooth_strap",
    3: "hand_contact",
}
_CALIBRATIONS: dict[int, Calibration] = {0: "power", 1: "resistance", 2: "user_configuration"}
_TARGET_STATES: tuple[TargetState, ...] = (
    "at_target",
    "speed_too_low",
    "speed_too_high",
    "limit_reached",
)
_MODES: dict[int, Mode] = {0: "resistance", 1: "power", 2: "simulation"}
_STATUSES: Mapping[int, CommandStatus] = {
    0: "pass",
    1: "fail",
    2: "not_supported",
    3: "rejected",
    4: "pending",
    0xFF: "uninitialized",
}

_NO_U8, _NO_U16, _NO_S16, _NO_U32, _NO_POWER = 0xFF, 0xFFFF, 0x7FFF, 0xFFFFFFFF, 0xFFF
_DISTANCE_COUNTS, _SPEED_IS_VIRTUAL = 0x04, 0x08


class FecPage(Measurement):
    """One page, as it was sent or written; a page without a name here has only its number.

    Numbers are as in the page: counters wrap. Absent if the page is none of this protocol.
    """

    kind: ClassVar[str] = "fec_page"

    page: Annotated[int | None, quantity("1")] = None
    name: Name | None = None
    equipment: Equipment | int | None = None
    state: State | int | None = None
    elapsed_time_s: Annotated[float | None, quantity("s")] = None
    """Wraps at 64 s."""
    distance_m: Annotated[int | None, quantity("m")] = None
    """Wraps at 256 m; absent if the machine does not count it."""
    speed_mps: Annotated[float | None, quantity("m/s", mdc=8454254)] = None
    speed_is_virtual: bool | None = None
    """Whether the machine computes the speed of a simulated ride."""
    heart_rate_bpm: Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")] = None
    heart_rate_source: HeartRateSource | None = None
    cycle_length_m: Annotated[float | None, quantity("m")] = None
    """For a bike, how far a turn of the wheel moves it."""
    grade_pct: Annotated[float | None, quantity("%")] = None
    resistance_pct: Annotated[float | None, quantity("%")] = None
    """Of the greatest resistance."""
    event_count: Annotated[int | None, quantity("1")] = None
    """Wraps at 256."""
    cadence_rpm: Annotated[float | None, quantity("/min", mdc=8454255)] = None
    accumulated_power_w: Annotated[int | None, quantity("W")] = None
    """The sum of the powers of all events; wraps at 65536 W."""
    power_w: Annotated[int | None, quantity("W", mdc=8454259)] = None
    calibration_needed: list[Calibration] | None = None
    target_state: TargetState | None = None
    """Whether the target power is reached, and if not, what the wheel is."""
    max_resistance_n: Annotated[int | None, quantity("N")] = None
    modes: list[Mode] | None = None
    command_page: Annotated[int | None, quantity("1")] = None
    command_sequence: Annotated[int | None, quantity("1")] = None
    command_status: CommandStatus | int | None = None
    command_data: str | None = None
    """Hex: the last four bytes of the command's page."""
    target_power_w: Annotated[float | None, quantity("W")] = None
    target_resistance_pct: Annotated[float | None, quantity("%")] = None
    target_grade_pct: Annotated[float | None, quantity("%")] = None
    crr: Annotated[float | None, quantity("1")] = None
    """Coefficient of rolling resistance."""
    cw_kg_per_m: Annotated[float | None, quantity("kg/m")] = None
    """Coefficient of wind resistance."""
    wind_speed_mps: Annotated[float | None, quantity("m/s")] = None
    """Positive for a head wind."""
    drafting_factor: Annotated[float | None, quantity("1")] = None
    requested_page: Annotated[int | None, quantity("1")] = None
    hardware_revision: Annotated[int | None, quantity("1")] = None
    manufacturer_number: Annotated[int | None, quantity("1")] = None
    """As ANT+ numbers them: 89 is Tacx."""
    model_number: Annotated[int | None, quantity("1")] = None
    software_revision: Annotated[int | None, quantity("1")] = None
    software_supplement: Annotated[int | None, quantity("1")] = None
    serial_number: Annotated[int | None, quantity("1")] = None


def _state(fields: dict[str, Any], nibbles: int) -> None:
    # The highest bit only changes with each lap.
    if code := nibbles >> 4 & 0x07:
        fields["state"] = _STATES.get(code, code)


_unpack_general = Struct("<BBBHBB").unpack_from
_unpack_settings = Struct("<2xBhBB").unpack_from
_unpack_trainer = Struct("<BBHHB").unpack_from
_list_modes, _list_calibrations = words(_MODES), words(_CALIBRATIONS)


def _general(page: bytes, fields: dict[str, Any]) -> None:
    """Decode page 16: equipment u8, elapsed u8 0.25 s, distance u8 m, speed u16 0.001 m/s, rate."""
    equipment, elapsed, distance, speed, rate, flags = _unpack_general(page, 1)
    equipment &= 0x1F
    fields["equipment"] = _EQUIPMENT.get(equipment, equipment)
    fields["elapsed_time_s"] = elapsed / 4
    if flags & _DISTANCE_COUNTS:
        fields["distance_m"] = distance
    fields["speed_mps"] = None if speed == _NO_U16 else speed / 1000
    fields["speed_is_virtual"] = bool(flags & _SPEED_IS_VIRTUAL)
    fields["heart_rate_bpm"] = known_rate(rate)
    if source := _SOURCES.get(flags & 0x03):
        fields["heart_rate_source"] = source
    _state(fields, flags)


def _settings(page: bytes, fields: dict[str, Any]) -> None:
    """Decode page 17: cycle length u8 0.01 m, grade s16 0.01 %, resistance u8 0.5 %."""
    length, grade, resistance, flags = _unpack_settings(page, 1)
    fields["cycle_length_m"] = None if length == _NO_U8 else length / 100
    fields["grade_pct"] = None if grade == _NO_S16 else grade / 100
    fields["resistance_pct"] = None if resistance == _NO_U8 else resistance / 2
    _state(fields, flags)


def _trainer(page: bytes, fields: dict[str, Any]) -> None:
    """Decode page 25: events u8, cadence u8, accumulated power u16 W, power 12 bits W, flags."""
    events, cadence, accumulated, power, flags = _unpack_trainer(page, 1)
    fields["event_count"] = events
    fields["cadence_rpm"] = None if cadence == _NO_U8 else float(cadence)
    if power & 0xFFF == _NO_POWER:
        # Then the accumulated power means nothing either.
        fields["accumulated_power_w"] = fields["power_w"] = None
    else:
        fields["accumulated_power_w"] = accumulated
        fields["power_w"] = power & 0xFFF
    fields["calibration_needed"] = _list_calibrations(power >> 12)
    fields["target_state"] = _TARGET_STATES[flags & 0x03]
    _state(fields, flags)


def _capabilities(page: bytes, fields: dict[str, Any]) -> None:
    resistance = _u16(page, 5)
    fields["max_resistance_n"] = None if resistance == _NO_U16 else resistance
    fields["modes"] = _list_modes(page[7])


def _command_status(page: bytes, fields: dict[str, Any]) -> None:
    for key, value in (("command_page", page[1]), ("command_sequence", page[2])):
        fields[key] = None if value == _NO_U8 else value
    fields["command_status"] = _STATUSES.get(page[3], page[3])
    fields["command_data"] = page[4:].hex()


def _basic_resistance(page: bytes, fields: dict[str, Any]) -> None:
    fields["target_resistance_pct"] = page[7] / 2


def _target_power(page: bytes, fields: dict[str, Any]) -> None:
    fields["target_power_w"] = _u16(page, 6) / 4


def _wind(page: bytes, fields: dict[str, Any]) -> None:
    coefficient, wind, drafting = page[5:]
    fields["cw_kg_per_m"] = None if coefficient == _NO_U8 else coefficient / 100
    fields["wind_speed_mps"] = None if wind == _NO_U8 else round((wind - 127) / 3.6, 3)
    fields["drafting_factor"] = None if drafting == _NO_U8 else drafting / 100


def _track(page: bytes, fields: dict[str, Any]) -> None:
    grade = _u16(page, 5)
    fields["target_grade_pct"] = None if grade == _NO_U16 else (grade - 20_000) / 100
    fields["crr"] = None if page[7] == _NO_U8 else page[7] * 5 / 100_000


def _request(page: bytes, fields: dict[str, Any]) -> None:
    fields["requested_page"] = page[6]


def _manufacturer(page: bytes, fields: dict[str, Any]) -> None:
    fields["hardware_revision"] = page[3]
    fields["manufacturer_number"] = _u16(page, 4)
    fields["model_number"] = _u16(page, 6)


def _product(page: bytes, fields: dict[str, Any]) -> None:
    serial = int.from_bytes(page[4:], "little")
    fields["software_revision"] = page[3]
    fields["software_supplement"] = None if page[2] == _NO_U8 else page[2]
    fields["serial_number"] = None if serial == _NO_U32 else serial


def _u16(page: bytes, at: int) -> int:
    return page[at] | page[at + 1] << 8


def _only_named(_page: bytes, _fields: dict[str, Any]) -> None:
    pass


_READERS: Mapping[int, Callable[[bytes, dict[str, Any]], None]] = {
    GENERAL: _general,
    SETTINGS: _settings,
    TRAINER: _trainer,
    BASIC_RESISTANCE: _basic_resistance,
    TARGET_POWER: _target_power,
    WIND: _wind,
    TRACK: _track,
    CAPABILITIES: _capabilities,
    REQUEST: _request,
    COMMAND_STATUS: _command_status,
    MANUFACTURER: _manufacturer,
    PRODUCT: _product,
}


def decode_page(data: bytes) -> FecPage:
    """Decode a frame: ``A4 09`` type ``05``, a page of eight bytes, XOR of all before.

    Other ANT messages have no page and give an empty one.

    Raises:
        DecodeError: it is not an ANT message, it ends too early, or its checksum is wrong.
    """
    page = page_of(data)
    if page is None:
        return FecPage.of({})
    number = page[0]
    fields: dict[str, Any] = {"page": number, "name": NAMES.get(number, "other")}
    _READERS.get(number, _only_named)(page, fields)
    if extra := surplus(data):
        fields["trailing_bytes"] = extra
    return FecPage.of(fields)
