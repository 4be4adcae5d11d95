"""Check that the clock that dates samples is synchronised."""

from healthd.doctor.finding import Finding, ok, warning, wrong
from healthd.doctor.machine import Machine
from healthd.host.clock import TIMESYNC, Clock

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
