"""healthd scan with BlueZ: alone, next to the daemon, without BlueZ, and on a terminal."""

import asyncio
import os
import pty
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from healthd.profiles import registry
from healthd.settings.file import read
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.process import Healthd, call, clean_environment

pytestmark = needs_dbus

ROOT = Path(__file__).parents[2]

SETTINGS = """\
# mine
[gateway]
id = "gateway"
[mqtt]
brokers = ["127.0.0.1:1"]
[outbox]
directory = "{folder}/outbox"
max_size = "16MB"
[[peripherals]]
id = "mine"
address = "C0:00:00:00:00:01"
"""

MINE, OTHER = "C0:00:00:00:00:01", "C0:00:00:00:00:02"


class Gateway:
    """Settings, and scan commands that use them."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "healthd.toml"
        self.config.write_text(SETTINGS.format(folder=folder))
        self.environ = {"XDG_RUNTIME_DIR": str(folder), "COLUMNS": "200"}

    def command(self, *arguments: str) -> tuple[str, ...]:
        return ("scan", "--seconds", "1", "--config", str(self.config), *arguments)

    async def scan(self, *arguments: str) -> tuple[int, str, str]:
        """Scan; return the exit code, standard output and standard error."""
        return await call(*self.command(*arguments), environ=self.environ)

    async def found(self) -> dict[str, dict[str, Any]]:
        """Scan; return the found devices by address."""
        code, out, _ = await self.scan("--json")
        assert code == 0
        return {device["address"]: device for device in orjson.loads(out)["found"]}


@pytest.fixture
def gateway(bus: Bus, tmp_path: Path) -> Gateway:
    """Return a gateway that uses the test's own bus."""
    return Gateway(tmp_path)


async def test_devices_that_bluez_hears(bus: Bus, gateway: Gateway) -> None:
    private = "41:00:00:00:00:03"
    devices = (strap(), strap(OTHER, "Strap"), strap(private, "Watch"))
    async with BlueZ(bus, *devices, adapters={"hci0": True}) as bluez:
        found = await gateway.found()
        await bluez.called("StopDiscovery")
    assert set(found) == {MINE, OTHER, private}
    assert found[MINE]["peripheral"] == "mine"
    assert found[OTHER]["rssi_dbm"] in (-50, -51)
    assert f'address = "{OTHER}"' in found[OTHER]["block"]
    assert 'name = "Watch"' in found[private]["block"], "its address changes"
    assert private not in found[private]["block"]


async def test_next_to_a_daemon_with_a_link(bus: Bus, gateway: Gateway) -> None:
    devices = (strap(), strap(OTHER, "Strap"))
    async with BlueZ(bus, *devices, adapters={"hci0": True}) as bluez:
        daemon = Healthd("run", "--config", str(gateway.config), environ=gateway.environ)
        async with daemon:
            await daemon.logged("state", peripheral="mine", state="streaming")
            code, out, err = await gateway.scan("--json")
            found = {device["address"]: device for device in orjson.loads(out)["found"]}
            assert (code, set(found)) == (0, {MINE, OTHER})
            assert "healthd is running" in err
            assert (found[MINE]["rssi_dbm"], found[MINE]["peripheral"]) == (None, "mine")
            assert bluez.count("Disconnect") == 0, "the daemon keeps its link"
            assert await daemon.stopped() == 0
        _, _, err = await gateway.scan("--json")
        assert "healthd is running" not in err


async def test_without_bluetoothd(bus: Bus, gateway: Gateway) -> None:
    code, out, err = await gateway.scan("--json")
    assert (code, out) == (1, "")
    assert "cannot scan" in err
    assert "bluetooth" in err
    assert "Traceback" not in err


async def test_without_a_bus(gateway: Gateway, tmp_path: Path) -> None:
    gateway.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/nowhere"
    code, _, err = await gateway.scan()
    assert code == 1
    assert "D-Bus, and so BlueZ, is not running" in err


@pytest.mark.parametrize("adapters", [{}, {"hci0": False}], ids=["none", "off"])
async def test_without_an_adapter(bus: Bus, gateway: Gateway, adapters: dict[str, bool]) -> None:
    async with BlueZ(bus, strap(), adapters=adapters):
        code, _, err = await gateway.scan()
    assert code == 1
    assert "adapter on? for details: healthd doctor" in err


async def test_an_adapter_used_by_another_program(bus: Bus, gateway: Gateway) -> None:
    async with BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        busy = ("org.bluez.Error.InProgress", "Operation already in progress")
        await bluez.do("fail", members={"StartDiscovery": busy})
        code, _, err = await gateway.scan()
    assert code == 1
    assert "systemctl stop healthd" in err


async def test_bad_settings(bus: Bus, gateway: Gateway) -> None:
    gateway.config.write_text("[gateway]\nid = 'No Slug'\n")
    code, out, err = await gateway.scan()
    assert (code, out) == (78, "")
    assert "gateway.id" in err


async def test_adding_a_device(bus: Bus, gateway: Gateway) -> None:
    before = gateway.config.read_text()
    async with BlueZ(bus, strap(OTHER, "Strap"), adapters={"hci0": True}):
        code, _, err = await gateway.scan("--add", "strap")
        assert code == 0, err
        assert gateway.config.read_text().startswith(before)
        peripherals = read(gateway.config, {}, registry.load().profiles).peripherals
        assert [(entry.id, entry.address) for entry in peripherals] == [
            ("mine", MINE),
            ("strap", OTHER),
        ]
        code, _, err = await gateway.scan("--add", "strap")
        assert (code, "can be added: none" in err) == (1, True)


@pytest.mark.parametrize(("typed", "ids"), [("strap\n", ["mine", "strap"]), ("\n", ["mine"])])
async def test_a_prompt_on_a_terminal(
    bus: Bus, gateway: Gateway, typed: str, ids: list[str]
) -> None:
    keyboard, terminal = pty.openpty()
    async with BlueZ(bus, strap(OTHER, "Strap"), adapters={"hci0": True}):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "healthd", *gateway.command()),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**clean_environment(), **gateway.environ, "TERM": "dumb"},
            cwd=ROOT,
        )
        os.close(terminal)
        shown = ""
        try:
            async with asyncio.timeout(40):
                while "Id of the device to add" not in shown:
                    shown += (await asyncio.to_thread(os.read, keyboard, 4096)).decode()
                os.write(keyboard, typed.encode())
                with suppress(OSError):  # raised when the terminal is closed
                    while more := await asyncio.to_thread(os.read, keyboard, 4096):
                        shown += more.decode()
                assert await process.wait() == 0, shown
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(keyboard)
    peripherals = read(gateway.config, {}, registry.load().profiles).peripherals
    assert [entry.id for entry in peripherals] == ids
