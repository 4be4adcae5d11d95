"""Whether the clock that stamps samples can be believed."""

from healthd.doctor.finding import Finding, ok, warning, wrong
from healthd.doctor.machine import Machine
from healthd.host.clock import TIMESYNC, Clock

_FIX = (
    "have it set from the network: sudo timedatectl set-ntp true; is a time server reachable? "
    "Samples say clock unsynced until then"
)


async def check_clock(machine: Machine) -> Finding:
    """Ask as the daemon does, then whoever else may know."""
    timesync = machine.path(str(TIMESYNC.relative_to("/")))
    if Clock(timesync).now().clock == "unsynced":
        return wrong("clock", "it is not synchronised", _FIX)
    if timesync.is_dir():
        return ok("clock", "systemd-timesyncd has synchronised it")
    # chrony and others tell the kernel, and it is the kernel that timedatectl asks.
    told = await machine.output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    match (told or "").strip():
        case "yes":
            return ok("clock", "it is synchronised")
        case "no":
            found = "nothing synchronises it, and healthd believes it all the same"
            return warning("clock", found, _FIX)
        case _:
            return ok("clock", "it looks right; nobody here knows whether it is synchronised")
