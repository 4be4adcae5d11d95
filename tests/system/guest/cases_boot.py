"""The machine as it comes up, and the plainest thing that healthd is for."""

import re

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.ward import SERVICE, START_S, Ward


@case(at_boot=True)
async def start_at_boot(ward: Ward) -> None:
    """The boot starts the service, and READY=1 comes without an adapter and without BlueZ."""
    await until(lambda: vm.is_active(SERVICE), f"{SERVICE} is active", START_S)
    shown = await vm.unit(
        SERVICE, "Type", "NRestarts", "MainPID", "ExecMainStartTimestampMonotonic"
    )
    started_s = int(shown["ExecMainStartTimestampMonotonic"]) / 1e6
    ward.notes.append(f"Type={shown['Type']}, started {started_s:.1f} s after the kernel")
    if shown["NRestarts"] != "0":
        raise Failed(f"it was restarted {shown['NRestarts']} times")
    # Active is what READY=1 makes of a unit of this type; of any other it says little.
    if not shown["Type"].startswith("notify"):
        raise Failed(f"Type={shown['Type']}: systemd is not told when it is ready")


@case()
async def streams(ward: Ward) -> None:
    """Every sample of a strap arrives, once, unchanged."""
    await ward.strap()
    await ward.start_streaming()
    strap = ward.straps["strap"]
    await until(lambda: len(strap.sent) >= 10, "ten samples are sent")


@case()
async def log_lines(ward: Ward) -> None:
    """The journal has JSON lines, which say what changed, and neither addresses nor values."""
    strap = await ward.strap()
    await ward.start_streaming()
    async with ward.fault():
        await strap.peripheral.drop()
    await ward.recovered(strap)
    lines = await ward.journal.lines()
    states = [line for line in lines if re.search(r'"state":"(searching|streaming)"', line)]
    # What they must not hold is judged after every case.
    if len(states) < 4:
        raise Failed(f"expected searching and streaming, twice each, found: {lines}")
