"""The machine that the tests run on: commands, units, D-Bus and the journal."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, cast

# Nothing that is called here takes longer on an emulated processor, unless it hangs: bluetoothctl
# does where there is no bluetoothd.
COMMAND_S = 30.0
# Between two looks at what does not announce its changes.
_LOOK_S = 0.1
# The only adapter: the number is free again once it was pulled out.
_ADAPTER = "/org/bluez/hci0"


class Failed(Exception):
    """A case's finding: what was expected, and what was found."""


async def run(*command: str, timeout_s: float = COMMAND_S, may_fail: bool = False) -> str:
    """What a command prints.

    Raises:
        Failed: it does not end, or ends with an error that `may_fail` does not allow.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Failed(f"{' '.join(command)} did not end within {timeout_s:.0f} s") from None
    text = output.decode(errors="replace")
    if process.returncode and not may_fail:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {text[-500:]}")
    return text


async def until(
    look: Callable[[], Awaitable[object] | object], what: str, timeout_s: float = COMMAND_S
) -> None:
    """Look again and again until there is something to see.

    Raises:
        Failed: there was nothing for so long.
    """
    ends_at = time.monotonic() + timeout_s
    while True:
        seen = look()
        if await cast("Awaitable[object]", seen) if isawaitable(seen) else seen:
            return
        if time.monotonic() > ends_at:
            raise Failed(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(_LOOK_S)


async def unit(name: str, *properties: str) -> dict[str, str]:
    """Properties of a unit, as systemd shows them."""
    shown = await run("systemctl", "show", name, f"--property={','.join(properties)}")
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


async def main_pid(name: str) -> int:
    """A service's main process; 0 where it does not run."""
    return int((await unit(name, "MainPID"))["MainPID"])


async def is_active(name: str) -> bool:
    """Whether the unit is up."""
    return (await unit(name, "ActiveState"))["ActiveState"] == "active"


async def adapter_is_powered() -> bool | None:
    """Whether BlueZ has the adapter powered; None where BlueZ, or the adapter, is not there."""
    # --auto-start=no: a look must not bring back what a test has stopped.
    answer = await run(
        *("busctl", "--json=short", "--auto-start=no", "--timeout=5", "get-property", "org.bluez"),
        *(_ADAPTER, "org.bluez.Adapter1", "Powered"),
        may_fail=True,
    )
    if not answer.startswith("{"):
        return None
    return bool(json.loads(answer)["data"])


async def set_powered(powered: bool) -> None:
    """Have BlueZ switch the adapter."""
    await run(
        *("busctl", "set-property", "org.bluez", _ADAPTER, "org.bluez.Adapter1"),
        *("Powered", "b", "true" if powered else "false"),
    )


async def device_property(address: str, name: str) -> Any:
    """What BlueZ says of a device; None where it does not know it."""
    answer = await run(
        *("busctl", "--json=short", "--auto-start=no", "--timeout=5", "get-property", "org.bluez"),
        *(_device(address), "org.bluez.Device1", name),
        may_fail=True,
    )
    return json.loads(answer)["data"] if answer.startswith("{") else None


async def remove_device(address: str) -> None:
    """Have BlueZ forget a device, and its bond."""
    await run(
        *("busctl", "call", "org.bluez", _ADAPTER, "org.bluez.Adapter1"),
        *("RemoveDevice", "o", _device(address)),
    )


def _device(address: str) -> str:
    return f"{_ADAPTER}/dev_{address.replace(':', '_')}"


class Journal:
    """What one service writes to the journal from now on."""

    def __init__(self, service: str) -> None:
        """Name the service."""
        self._service = service
        self._since = 0.0

    def mark(self) -> None:
        """Forget what was written until now."""
        # No cursor: Debian 12's journalctl then leaves out the first line that it should show.
        self._since = time.time()

    async def lines(self) -> list[str]:
        """What the service itself wrote; systemd's words about it are left out."""
        since, match = f"--since=@{self._since:.6f}", f"_SYSTEMD_UNIT={self._service}"
        text = await run("journalctl", "--quiet", "--output=cat", "--no-pager", since, match)
        return text.splitlines()
