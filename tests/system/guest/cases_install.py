"""`make install` and `make uninstall` on a machine with a running healthd."""

import asyncio
from pathlib import Path

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.install import make
from tests.system.guest.vm import Failed
from tests.system.guest.world import SERVICE, World

_SETTINGS = Path("/etc/healthd/healthd.toml")
_OUTBOX = Path("/var/lib/healthd")


@case()
async def install_again(world: World) -> None:
    """Installing the same version again changes nothing, not even the process."""
    strap = await world.strap()
    await world.start_streaming()
    settings, before = _read_settings(), await vm.main_pid(SERVICE)
    await asyncio.to_thread(make, "install")
    if await vm.main_pid(SERVICE) != before:
        raise Failed("it was restarted")
    if _read_settings() != settings:
        raise Failed("the settings were changed")
    await world.streaming(strap)


@case()
async def uninstall(world: World) -> None:
    """After the removal only the settings and the outbox remain."""
    await world.strap()
    await world.start_streaming()
    await asyncio.to_thread(make, "uninstall")
    state = await vm.unit(SERVICE, "ActiveState", "LoadState")
    if state != {"ActiveState": "inactive", "LoadState": "not-found"}:
        raise Failed(f"the service is still known: {state}")
    found = await vm.run(
        *("find", "/opt", "/usr", "/etc", "/var/lib", "-xdev", "-name", "*healthd*"),
        *("-not", "-path", "/usr/local/src/*"),
    )
    left = set(found.split()) - {str(_SETTINGS.parent), str(_SETTINGS), str(_OUTBOX)}
    # systemd's time stamps of units, and the files of the outbox.
    left = {path for path in left if not path.startswith(("/var/lib/systemd/", f"{_OUTBOX}/"))}
    if left:
        raise Failed(f"left behind: {sorted(left)}")
    if not _read_settings() or not _outbox_files():
        raise Failed("settings or outbox are gone")


def _read_settings() -> bytes:
    return _SETTINGS.read_bytes() if _SETTINGS.exists() else b""


def _outbox_files() -> list[Path]:
    return list(_OUTBOX.iterdir()) if _OUTBOX.exists() else []
