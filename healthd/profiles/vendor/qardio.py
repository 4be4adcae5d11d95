"""QardioArm: a cuff of the Blood Pressure service (0x1810) that starts on request.

Sources: ptylr/LibreArm, BPClient.swift (commands; 1.5 s without a packet end a measurement);
checked against agreenbhm/LibreArm_Android, BpClient.kt and ReadingValidationTest.kt (what is a
result), and qcardio/commands/arm.py, a command line for QardioArms. Where they differ:

- LibreArm_Android refuses a pulse pressure of more than 120 mmHg, too. Stiff arteries have that, so
  healthd does not.
- arm.py subscribes to the control characteristic, which sends F2 and a phase. The others do not.

The cuff sends Blood Pressure Measurement (0x2A35) as notifications, and has to be bonded. While it
inflates, the diastolic pressure is 0; the profile of the service makes intermediate values of that.
"""

from typing import Annotated, ClassVar, Literal

from healthd.errors import DecodeError
from healthd.profiles.blood_pressure import BloodPressure, decode_blood_pressure
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Request
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

CONTROL = "583cb5b3-875d-40ed-9098-c39eb0c1983d"
NAMES = "qardioarm*"

# Below this charge it cannot pump, and sends nonsense (LibreArm).
NEEDS_BATTERY_PCT = 10

_COMMAND = 0xF1

Name = Literal["start", "stop", "other"]

_NAMES: dict[bytes, Name] = {b"\xf1\x01": "start", b"\xf1\x02": "stop"}

# Outside these, a packet is no result, as LibreArm judges: the cuff has given up.
_SYSTOLIC_MMHG, _DIASTOLIC_MMHG = (60, 260), (40, 160)


class QardioCommand(Measurement):
    """What was written to the cuff."""

    kind: ClassVar[str] = "qardio_command"

    opcode: Annotated[int, quantity("1")]
    name: Name


def decode_command(data: bytes) -> QardioCommand:
    """Decode a command: F1, and 01 to start or 02 to stop."""
    if not data:
        raise DecodeError("offset 0: expected a command, found 0 bytes")
    return QardioCommand.of({"opcode": data[0], "name": _NAMES.get(data[:2], "other")})


def decode_measurement(data: bytes) -> BloodPressure:
    """Decode 2A35 of a QardioArm: what the cuff never measures has no diastolic pressure.

    So it is no result, see `blood_pressure`.
    """
    packet = decode_blood_pressure(data)
    upper, lower = packet.systolic_mmhg, packet.diastolic_mmhg
    if upper is None or lower is None or _is_possible(upper, lower):
        return packet
    return packet.model_copy(update={"diastolic_mmhg": None})


def _is_possible(upper: float, lower: float) -> bool:
    (low, high), (least, most) = _SYSTOLIC_MMHG, _DIASTOLIC_MMHG
    return low <= upper <= high and least <= lower <= most


PROFILE = Profile(
    name="qardio",
    names=(NAMES,),
    characteristics=(Characteristic(CONTROL, QardioCommand, decode_command, Use.CONTROL),),
    commands={
        "start": Request(b"\xf1\x01", CONTROL, answers=False),
        "stop": Request(b"\xf1\x02", CONTROL, answers=False),
    },
    needs_battery_pct=NEEDS_BATTERY_PCT,
)
