"""The machine that the tests run on: commands, units, D-Bus and the journal."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, cast

# No command here takes longer on an emulated processor unless it hangs, as bluetoothctl does
# without bluetoothd.
COMMAND_S = 30.0
# Between two checks of a condition that is not announced.
_POLL_S = 0.1
# The only adapter; its number is free again once it is unplugged.
_ADAPTER = "/org/bluez/hci0"


class Failed(Exception):
    """The finding of a case: what was expected, and what was found."""


async def run(*command: str, timeout_s: float = COMMAND_S, may_fail: bool = False) -> str:
    """Run a command, and return what it prints.

    Raises:
        Failed: it does not end in time, or fails although `may_fail` is not set.
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
    condition: Callable[[], Awaitable[object] | object], what: str, timeout_s: float = COMMAND_S
) -> None:
    """Poll until the condition holds; ``what`` describes it.

    Raises:
        Failed: it did not hold in time.
    """
    ends_at = time.monotonic() + timeout_s
    while True:
        result = condition()
        if await cast("Awaitable[object]", result) if isawaitable(result) else result:
            return
        if time.monotonic() > ends_at:
            raise Failed(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(_POLL_S)


async def unit(name: str, *properties: str) -> dict[str, str]:
    """Return properties of a unit, as systemctl shows them."""
    shown = await run("systemctl", "show", name, f"--property={','.join(properties)}")
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


async def main_pid(name: str) -> int:
    """Return the main process of a service; 0 if it does not run."""
    return int((await unit(name, "MainPID"))["MainPID"])


async def is_active(name: str) -> bool:
    """Return whether the unit is active."""
    return (await unit(name, "ActiveState"))["ActiveState"] == "active"


async def adapter_is_powered() -> bool | None:
    """Return whether the adapter is on; None if BlueZ or the adapter is not there."""
    return await _adapter_property("Powered")


async def adapter_is_discovering() -> bool | None:
    """Return whether BlueZ says that it scans; None if BlueZ or the adapter is not there."""
    return await _adapter_property("Discovering")


async def _adapter_property(name: str) -> bool | None:
    # --auto-start=no: the question must not start a bluetoothd that a test has stopped.
    answer = await run(
        *("busctl", "--json=short", "--auto-start=no", "--timeout=5", "get-property", "org.bluez"),
        *(_ADAPTER, "org.bluez.Adapter1", name),
        may_fail=True,
    )
    if not answer.startswith("{"):
        return None
    return bool(json.loads(answer)["data"])


async def set_powered(powered: bool) -> None:
    """Make BlueZ switch the adapter on or off."""
    await run(
        *("busctl", "set-property", "org.bluez", _ADAPTER, "org.bluez.Adapter1"),
        *("Powered", "b", "true" if powered else "false"),
    )


async def device_property(address: str, name: str) -> Any:
    """Return a property of a device in BlueZ; None if BlueZ does not know the device."""
    answer = await run(
        *("busctl", "--json=short", "--auto-start=no", "--timeout=5", "get-property", "org.bluez"),
        *(_device(address), "org.bluez.Device1", name),
        may_fail=True,
    )
    return json.loads(answer)["data"] if answer.startswith("{") else None


async def keep_device(address: str) -> None:
    """Make BlueZ keep what it knows of a device that it has no bond with."""
    await run(
        *("busctl", "set-property", "org.bluez", _device(address), "org.bluez.Device1"),
        *("Trusted", "b", "true"),
    )


async def remove_device(address: str) -> None:
    """Make BlueZ forget a device and its bond."""
    await run(
        *("busctl", "call", "org.bluez", _ADAPTER, "org.bluez.Adapter1"),
        *("RemoveDevice", "o", _device(address)),
    )


def _device(address: str) -> str:
    return f"{_ADAPTER}/dev_{address.replace(':', '_')}"


class Journal:
    """The journal of one service, from a certain time on."""

    def __init__(self, service: str) -> None:
        """Name the service."""
        self._service = service
        self._since = 0.0

    def mark(self) -> None:
        """Forget what was written until now."""
        # Without a cursor: with one Debian 12's journalctl omits the first line after it.
        self._since = time.time()

    async def lines(self) -> list[str]:
        """Return the lines that the service itself wrote, without those of systemd."""
        since, match = f"--since=@{self._since:.6f}", f"_SYSTEMD_UNIT={self._service}"
        text = await run("journalctl", "--quiet", "--output=cat", "--no-pager", since, match)
        return text.splitlines()
