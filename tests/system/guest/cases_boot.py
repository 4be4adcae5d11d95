"""The freshly booted machine, and the basic function of healthd."""

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, START_S, World


@case(at_boot=True)
async def start_at_boot(world: World) -> None:
    """The boot starts the service, and READY=1 comes without an adapter and without BlueZ."""
    await until(lambda: vm.is_active(SERVICE), f"{SERVICE} is active", START_S)
    shown = await vm.unit(
        SERVICE, "Type", "NRestarts", "MainPID", "ExecMainStartTimestampMonotonic"
    )
    started_s = int(shown["ExecMainStartTimestampMonotonic"]) / 1e6
    world.notes.append(f"Type={shown['Type']}, started {started_s:.1f} s after the kernel")
    if shown["NRestarts"] != "0":
        raise Failed(f"it was restarted {shown['NRestarts']} times")
    # Only for units of this type does "active" mean that READY=1 was sent.
    if not shown["Type"].startswith("notify"):
        raise Failed(f"Type={shown['Type']}: systemd is not notified when it is ready")


@case(at_boot=True)
async def security(world: World) -> None:
    """`systemd-analyze security` finds an exposure of 1.5 at most."""
    output = await vm.run(
        "systemd-analyze", "security", SERVICE, "--threshold=15", "--no-pager", may_fail=True
    )
    lines = (line for line in output.splitlines() if "exposure level" in line)
    verdict = next(lines, output[-300:])
    world.notes.append(verdict.strip().lstrip("→ "))
    level = float(verdict.split(":")[1].split()[0])
    if level > 1.5:
        raise Failed(verdict)


@case()
async def streams(world: World) -> None:
    """Every sample of a strap arrives, once, unchanged."""
    await world.strap()
    await world.start_streaming()
    strap = world.straps["strap"]
    await until(lambda: len(strap.sent) >= 10, "ten samples are sent")
