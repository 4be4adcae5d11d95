"""Writes single commands to a device: those of its profiles, and the reset of a counter."""

from healthd.central.faults import LinkFault, LinkLost
from healthd.central.link import Link
from healthd.errors import DecodeError
from healthd.profiles.common.machines import Rejected
from healthd.profiles.profile import Profile
from healthd.sessions.control_point import Busy, ControlPoint, Silent
from healthd.sessions.exchange import ANSWER_S, Check, unchecked
from healthd.supervision.deadline import timeout

_BATTERY_LEVEL = "2a19"


async def write_command(point: ControlPoint, command: bytes, check: Check = unchecked) -> None:
    """Write a command that the device only acknowledges.

    Raises:
        Rejected: the control point was in use, or ``check`` has refused the command.
        Silent: the device did not acknowledge it in time.
        LinkFault: the device refuses it, or the link ended.
    """
    try:
        async with point.turn(ANSWER_S), timeout(ANSWER_S):
            check()  # Nothing may come between this and the write.
            await point.write(command)
    except Busy as error:
        raise Rejected("busy", f"the control point was in use for {ANSWER_S:.0f} s") from error
    except TimeoutError as error:
        raise Silent from error


async def check_battery(link: Link, profile: Profile) -> None:
    """Refuse a command if the battery is too low for it; a battery that cannot be read counts not.

    Raises:
        Rejected: it is too low.
        LinkLost: the link ended.
    """
    needed = profile.needs_battery_pct
    if not needed or _BATTERY_LEVEL not in link.characteristics:
        return
    from healthd.profiles.battery import decode_level  # loaded with the device that has it

    try:
        level = decode_level(await link.read(_BATTERY_LEVEL)).level_pct
    except LinkLost:
        raise
    except (LinkFault, DecodeError):
        return
    if level is not None and level < needed:
        text = f"its battery has {level} %, and below {needed} % it fails: change the battery"
        raise Rejected("battery_low", text)
