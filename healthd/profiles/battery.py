"""Battery service (0x180F). Layouts: GATT Specification Supplement."""

from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.layout import Field, Layout, bit
from healthd.profiles.packet.wires import U8, U16, words
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

Answer = Literal["no", "yes", "unknown", "reserved"]
ChargeState = Literal["unknown", "charging", "discharging_active", "discharging_inactive"]
ChargeLevel = Literal["unknown", "good", "low", "critical"]
ChargingType = Literal[
    "none", "constant_current", "constant_voltage", "trickle", "float", "reserved"
]
Fault = Literal["battery", "external_power", "other"]

_ANSWERS: tuple[Answer, ...] = ("no", "yes", "unknown", "reserved")
_CHARGE_STATES: tuple[ChargeState, ...] = (
    "unknown",
    "charging",
    "discharging_active",
    "discharging_inactive",
)
_CHARGE_LEVELS: tuple[ChargeLevel, ...] = ("unknown", "good", "low", "critical")
_CHARGING_TYPES: tuple[ChargingType, ...] = (
    *("none", "constant_current", "constant_voltage", "trickle", "float"),
    *("reserved", "reserved", "reserved"),
)
_FAULTS: dict[int, Fault] = {12: "battery", 13: "external_power", 14: "other"}


class Battery(Measurement):
    """Charge of the peripheral's own battery."""

    kind: ClassVar[str] = "battery"
    retained: ClassVar[bool] = True

    level_pct: Annotated[int | None, quantity("%", mdc=67996)]
    """``null`` if the device sends more than 100."""
    charging: bool | None = None


class BatteryLevelStatus(Measurement):
    """How the battery is charged, and its faults."""

    kind: ClassVar[str] = "battery_level_status"
    retained: ClassVar[bool] = True

    battery_present: bool
    wired_power: Answer
    wireless_power: Answer
    charge_state: ChargeState
    charge_level: ChargeLevel
    charging_type: ChargingType
    fault: list[Fault]
    """What prevents it from charging."""
    identifier: Annotated[int | None, quantity("1")] = None
    """Which battery this is, on a device with several."""
    level_pct: Annotated[int | None, quantity("%", mdc=67996)] = None
    """``null`` if the device sends more than 100."""
    service_required: Answer | None = None
    battery_fault: bool = False


_list_faults = words(_FAULTS)


def known_level(raw: int) -> int | None:
    """Return a level in percent; None if it is more than 100."""
    return raw if raw <= 100 else None


def _power_state(raw: int) -> dict[str, Any]:
    return {
        "battery_present": bool(raw & 0x01),
        "wired_power": _ANSWERS[raw >> 1 & 0x03],
        "wireless_power": _ANSWERS[raw >> 3 & 0x03],
        "charge_state": _CHARGE_STATES[raw >> 5 & 0x03],
        "charge_level": _CHARGE_LEVELS[raw >> 7 & 0x03],
        "charging_type": _CHARGING_TYPES[raw >> 9 & 0x07],
        "fault": _list_faults(raw),
    }


def _additional_status(raw: int) -> dict[str, Any]:
    return {"service_required": _ANSWERS[raw & 0x03], "battery_fault": bool(raw & 0x04)}


_STATUS = Layout(
    Field("", U16, meaning=_power_state, required=True),
    Field("identifier", U16, bit(0)),
    Field("level_pct", U8, bit(1), known_level),
    Field("", U8, bit(2), _additional_status),
    flags=U8,
)


def decode_level(data: bytes) -> Battery:
    """Decode 2A19: level u8 (%), 0 to 100; greater values are reserved."""
    cursor = Cursor(data)
    return Battery.of(cursor.finish({"level_pct": known_level(cursor.u8())}))


def decode_level_status(data: bytes) -> BatteryLevelStatus:
    """Decode 2BED: flags u8, power state u16, then the fields that the flags announce.

    These are: identifier u16, level u8 (%), additional status u8. Bits of the power state: 0
    present, 1-2 wired and 3-4 wireless power, 5-6 charge state, 7-8 charge level, 9-11 type, 12-14
    faults.
    """
    return BatteryLevelStatus.of(_STATUS.read(data))


PROFILE = Profile(
    name="battery",
    service="180f",
    characteristics=(
        Characteristic("2a19", Battery, decode_level, Use.STATUS),
        Characteristic("2bed", BatteryLevelStatus, decode_level_status, Use.STATUS),
    ),
)
