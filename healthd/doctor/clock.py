"""Check that the clock that dates samples is synchronised, and the zone of times of the day."""

import shlex
from collections.abc import Mapping

from healthd.doctor.finding import Finding, ok, warning, wrong
from healthd.doctor.machine import Machine
from healthd.host.clock import TIMESYNC, Clock
from healthd.host.time_zone import HINT, LOCALTIME, find_zone

_FIX = (
    "set it from the network: sudo timedatectl set-ntp true, with a reachable time server; until "
    "then samples have clock unsynced"
)


async def check_clock(machine: Machine) -> Finding:
    """Check as the daemon does; if that is inconclusive, ask the kernel."""
    timesync = machine.path(str(TIMESYNC.relative_to("/")))
    if Clock(timesync).now().clock == "unsynced":
        return wrong("clock", "not synchronised", _FIX)
    if timesync.is_dir():
        return ok("clock", "synchronised by systemd-timesyncd")
    # chrony and others report to the kernel, and timedatectl asks the kernel.
    output = await machine.output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    match (output or "").strip():
        case "yes":
            return ok("clock", "synchronised")
        case "no":
            found = "not synchronised by any time service, but healthd uses it as if it were"
            return warning("clock", found, _FIX)
        case _:
            return ok("clock", "looks plausible; it is unknown whether it is synchronised")


async def check_time_zone(
    machine: Machine, environ: Mapping[str, str], *, installed: bool
) -> Finding:
    """Check that the time zone of the daemon is known.

    Args:
        machine: the machine to check.
        environ: the environment of a daemon that the user starts.
        installed: whether the daemon is the installed unit, which has an environment of its own.
    """
    if installed:
        shown = await machine.output("systemctl", "show", "healthd", "--property=Environment")
        if shown is not None:
            assignments = shlex.split(shown.removeprefix("Environment="))
            environ = dict(text.split("=", 1) for text in assignments)
    found = find_zone(environ, machine.path(str(LOCALTIME.relative_to("/"))))
    if found.problem:
        return warning("time_zone", f"{found.problem}; {found.source} is used", HINT)
    return ok("time_zone", found.source)
