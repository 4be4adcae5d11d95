"""Check what systemd and the kernel do for the installed service."""

import re
from pathlib import Path

from healthd.doctor.finding import Finding, ok, skipped, warning
from healthd.doctor.machine import Machine

_UNIT = "healthd.service"

# Where systemd looks for units, the first one counts (systemd.unit(5)). `make install` uses
# /usr/local.
_FOLDERS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
)

# The shipped unit has 1.0; the rest is tolerance for drop-ins.
_MAX_EXPOSURE = 1.5

_CGROUP_FIX = (
    "MemoryMax= of the unit has no effect: append cgroup_enable=memory to the line in "
    "/boot/firmware/cmdline.txt and reboot"
)


def check_memory(machine: Machine) -> Finding:
    """Check whether the kernel can limit memory, which is off by default in Raspberry Pi OS."""
    controllers = machine.text("sys/fs/cgroup/cgroup.controllers")
    if controllers is None:
        # Control groups v1 have a folder per controller.
        if machine.path("sys/fs/cgroup/memory").is_dir():
            return ok("memory_cgroup", "the kernel limits memory")
        return skipped("memory_cgroup", "control groups are not visible here")
    if "memory" in controllers.split():
        return ok("memory_cgroup", "the kernel limits memory")
    return warning("memory_cgroup", "the kernel does not limit memory", _CGROUP_FIX)


async def check_unit(machine: Machine) -> Finding:
    """Check how exposed the service is by the rating of systemd-analyze."""
    unit = _installed(machine)
    if unit is None:
        return skipped("unit", "healthd is not installed as a service", "sudo make install")
    booted = machine.path("run/systemd/system").is_dir()
    # Only the running systemd knows all drop-ins.
    target = (_UNIT,) if booted else ("--offline=yes", str(unit))
    output = await machine.output("systemd-analyze", "security", "--no-pager", *target) or ""
    exposure = re.search(r"exposure level for healthd\.service: ([0-9.]+)", output)
    if exposure is None:
        return skipped("unit", f"systemd-analyze does not rate {unit}")
    found = f"{unit}: exposure {exposure[1]} of 10"
    if float(exposure[1]) > _MAX_EXPOSURE:
        fix = "see which lines a drop-in overrides: systemctl cat healthd"
        return warning("unit", found, fix)
    return ok("unit", found)


def _installed(machine: Machine) -> Path | None:
    units = (machine.path(folder) / _UNIT for folder in _FOLDERS)
    return next((unit for unit in units if unit.is_file()), None)
