"""No command prints a text from outside as it is: each one gets hostile text, on a terminal."""

import asyncio
import os
import pty
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest
import typer.main

from healthd.cli.app import app
from healthd.gateway.control_socket import socket_file
from healthd.outbox.store import Store
from tests.brokers.responder import Responder
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.capture_writer import CaptureWriter
from tests.support.process import BOUND_S, HEALTHD, clean_environment

# What a harmless window title, a colour and a few invisible characters look like. "Zq" marks it.
RAW = (
    *("\x1b]", "\x07", "\x08", "\x7f", "\x9b", "\x85"),  # controls of ASCII and of Latin-1
    *("\u202e", "\u2066", "\u200f", "\u061c"),  # directions
    *("\u200b", "\u2060", "\ufeff", "\u00ad"),  # no width
    *("\u2028", "\u2029"),  # ends of lines
    *("\U000e0041", "\ufe0f", "\u3164", "\u115f", "\ue000", "\U000e0101"),  # not visible
    "\u0301" * 5,  # marks on one letter
)
OUTSIDE = "Zq[bold]x[/bold]" + "-".join(RAW) + "\nforged\rforged"

# On standard streams that are a terminal.
_ON_TERMINAL = """
import os, runpy, sys
terminal = os.open(sys.argv.pop(1), os.O_RDWR | os.O_NOCTTY)
for number in range(3):
    os.dup2(terminal, number)
sys.stdin, sys.stdout, sys.stderr = (
    open(number, "w" if number else "r", encoding="utf-8", closefd=False, buffering=1)
    for number in range(3)
)
runpy.run_module("healthd", run_name="__main__", alter_sys=True)
"""


class Machine:
    """A folder, a D-Bus, and hostile settings."""

    def __init__(self, folder: Path, bus: Bus) -> None:
        self.folder = folder
        self.bus = bus
        self.environ = {
            "XDG_RUNTIME_DIR": str(folder),
            "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
            "COLUMNS": "300",
            "TERM": "xterm-256color",
        }

    def settings(self, more: str = "") -> tuple[str, str]:
        """Write settings; return the option for them."""
        file = self.folder / "healthd.toml"
        file.write_text(
            f'[gateway]\nid = "gw"\n[mqtt]\nbrokers = ["127.0.0.1:1"]\n'
            f'[outbox]\ndirectory = "{self.folder}/outbox"\nmax_size = "1MB"\n{more}',
            encoding="utf-8",
        )
        return "--config", str(file)

    def bad_settings(self) -> tuple[str, str]:
        """Write settings with a key from outside; return the option for them."""
        escapes = "".join(f"\\U{ord(character):08x}" for character in OUTSIDE)
        return self.settings(f'[log."{escapes}"]\nx = 1\n')

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncGenerator["Screen"]:
        """Run a command on a terminal."""
        master, slave = pty.openpty()
        process = await HEALTHD.start(
            _ON_TERMINAL, [os.ttyname(slave), *arguments], {**clean_environment(), **self.environ}
        )
        screen = Screen(master)
        try:
            yield screen
        finally:
            process.kill()
            await process.wait()
            os.close(slave)
            screen.close()

    async def printed(self, *arguments: str) -> str:
        """Run a command until it has printed something from outside; return all it printed."""
        async with self.running(*arguments) as screen:
            await screen.shows("Zq")
            return screen.text


class Screen:
    """What was written to a terminal."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._data = b""
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def text(self) -> str:
        return self._data.decode("utf-8", "replace")

    def _read(self) -> None:
        try:
            self._data += os.read(self._master, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
        self._changed.set()

    async def shows(self, text: str) -> None:
        """Wait until this is on the screen, and a moment for the rest of the line."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BOUND_S):
                while text not in self.text:
                    self._changed.clear()
                    await self._changed.wait()
        assert text in self.text, self.text[-2000:]
        await asyncio.sleep(0.2)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


@pytest.fixture
def machine(tmp_path: Path, bus: Bus) -> Machine:
    return Machine(tmp_path, bus)


Case = Callable[[Machine], Awaitable[str]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def add(function: Case) -> Case:
        CASES[name] = function
        return function

    return add


@case("run")
async def run(machine: Machine) -> str:
    """What BlueZ answers, in the log."""
    config = machine.settings('[[peripherals]]\nid = "strap"\nname = "Strap"\n')
    async with BlueZ(machine.bus, strap(), adapters={"hci0": True}) as bluez:
        await bluez.do("fail", members={"StartDiscovery": ("org.bluez.Error.Failed", OUTSIDE)})
        return await machine.printed("run", *config)


@case("demo")
async def demo(machine: Machine) -> str:
    """A capture has the names and errors of others, too."""
    shown = await machine.printed("demo", *machine.bad_settings())
    writer = CaptureWriter()
    writer.advertise(0, name=OUTSIDE)
    writer.fail(1, OUTSIDE)
    writer.advertise(3, name=OUTSIDE)
    writer.connect(4)
    writer.beats(5, 8)
    writer.disconnect(8)
    file = machine.folder / "capture.jsonl"
    file.write_bytes(writer.data())
    shown += await machine.printed("demo", "--replay", str(file), "--deterministic")
    assert "heart_rate_bpm" in shown
    missing = machine.folder / OUTSIDE.replace("/", "")
    return shown + await machine.printed("demo", "--replay", str(missing))


@case("decode")
async def decode(machine: Machine) -> str:
    shown = await machine.printed("decode", OUTSIDE, "00")
    for arguments in (
        (OUTSIDE,),
        (f"service_data_{OUTSIDE}", "00"),
        ("--address", OUTSIDE, "00"),
        ("--bind-key-file", OUTSIDE, "00"),
    ):
        shown += await machine.printed("decode", "--advertisement", *arguments)
    return shown


@case("schema")
async def schema(machine: Machine) -> str:
    return await machine.printed("schema", OUTSIDE)


@case("outbox")
async def outbox(machine: Machine) -> str:
    """The topics in a file that anyone may have written."""
    folder = machine.folder / "outbox"
    folder.mkdir()
    store = Store(folder / "outbox.sqlite3", 1_000_000)
    store.record_outcomes([], {f"healthd/{OUTSIDE}": OUTSIDE})
    store.close()
    shown = await machine.printed("outbox", "--directory", str(folder))
    return shown + await machine.printed("outbox", "--directory", str(folder), "--json")


@case("fetch")
async def fetch(machine: Machine) -> str:
    """The answer of the daemon, with the error of a device in it."""
    answer = orjson.dumps({"status": "error", "error": OUTSIDE}) + b"\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    config = machine.settings('[[peripherals]]\nid = "scale"\nname = "S"\nevery = "15min"\n')
    path = socket_file(machine.folder, "gw")
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        shown = await machine.printed("fetch", "scale", *config)
    return shown + await machine.printed("fetch", "scale", *machine.bad_settings())


@case("pair")
async def pair(machine: Machine) -> str:
    """The name of a device, on the terminal of root."""
    config = machine.settings('[[peripherals]]\nid = "strap"\naddress = "C0:00:00:00:00:01"\n')
    async with BlueZ(machine.bus, strap(name=OUTSIDE), adapters={"hci0": True}):
        return await machine.printed("pair", "strap", *config)


@case("scan")
async def scan(machine: Machine) -> str:
    """The names of devices, in the table, in the blocks and as JSON."""
    config = machine.settings()
    private = strap("41:00:00:00:00:03", OUTSIDE)
    async with BlueZ(machine.bus, strap(name=OUTSIDE), private, adapters={"hci0": True}):
        command = ("scan", "--seconds", "1", *config)
        async with machine.running(*command) as screen:
            await screen.shows("Id of the device to add")
            shown = screen.text
        return shown + await machine.printed(*command, "--json")


@case("doctor")
async def doctor(machine: Machine) -> str:
    shown = await machine.printed("doctor", *machine.bad_settings())
    return shown + await machine.printed("doctor", *machine.bad_settings(), "--json")


@case("watch")
async def watch(machine: Machine) -> str:
    """Topics, keys and values of other publishers, in the table and as JSON."""
    payload = orjson.dumps({"name": OUTSIDE, "state": OUTSIDE, OUTSIDE: OUTSIDE})
    shown = ""
    for arguments in ((), ("--json",)):
        async with Responder() as broker:
            command = ("watch", "--broker", broker.address, *arguments)
            async with machine.running(*command) as screen:
                await broker.until(lambda: broker.connections and broker.connections[0].subscribed)
                (connection,) = broker.connections
                level = OUTSIDE.replace("/", "")
                device = f"healthd/{level}/device/{level}"
                connection.deliver(f"{device}/info", payload)
                connection.deliver(f"{device}/{level}", payload)
                await screen.shows("Zq")
                shown += screen.text
    return shown


@case("hass-backfill")
async def hass_backfill(machine: Machine) -> str:
    return await machine.printed("hass-backfill", *machine.bad_settings())


async def capture_files(machine: Machine) -> str:
    """Names, texts and errors in a file that anyone may have written."""
    file = machine.folder / "capture.jsonl"
    device = {"t": 1, "time": "2026-11-24T02:00:00Z", "device": OUTSIDE[:60]}
    on_link = {**device, "link": 1}
    value = {**on_link, "uuid": None, "handle": 3}
    lines = [
        {
            "what": "start",
            "t": 0,
            "time": "2026-11-24T02:00:00Z",
            "format": "healthd-capture/1",
            "source": OUTSIDE[:60],
            "identity": "kept",
            "healthd": {OUTSIDE: OUTSIDE},
            "system": {OUTSIDE: OUTSIDE},
        },
        {"what": "advertisement", **device, "name": OUTSIDE},
        {"what": "connect_failed", **device, "error": OUTSIDE},
        {"what": "read", **value, "error": OUTSIDE},
        {"what": "disconnected", **on_link, "reason": OUTSIDE},
        {"what": "adapter", "t": 2, "time": "2026-11-24T02:00:00Z", "change": OUTSIDE[:60]},
        {"what": "missing", "t": 2, "time": "2026-11-24T02:00:00Z", "reason": OUTSIDE},
    ]
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    shown = ""
    for arguments in (
        ("show", str(file)),
        ("show", str(file), "--json"),
        ("show", OUTSIDE),
        ("convert", OUTSIDE, "--out", OUTSIDE),
        ("to-test", OUTSIDE, "--name", OUTSIDE),
    ):
        shown += await machine.printed("capture", *arguments)
    return shown


@case("capture")
async def capture(machine: Machine) -> str:
    """The answer of the daemon, a line of it, and the settings."""
    config = machine.settings('[[peripherals]]\nid = "scale"\nname = "S"\n')
    refused = orjson.dumps({"status": "error", "error": OUTSIDE}) + b"\n"
    accepted = orjson.dumps({"status": "ok", "data": {}}) + b"\n"
    wrong = orjson.dumps({"what": OUTSIDE}) + b"\n"
    shown = ""
    for number, answer in enumerate((refused, accepted + wrong)):

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer
        ) -> None:
            await reader.readline()
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(serve, socket_file(machine.folder, "gw"))
        out = str(machine.folder / f"{number}.jsonl")
        async with server:
            shown += await machine.printed("capture", "scale", "--out", out, *config)
    shown += await machine.printed("capture", OUTSIDE, "--out", "x", *config)
    return shown + await capture_files(machine)


def test_every_command_has_a_case() -> None:
    """A new command fails here until it has one."""
    group = typer.main.get_command(app)
    assert set(CASES) == set(getattr(group, "commands"))  # noqa: B009


@needs_dbus
@pytest.mark.parametrize("command", [*CASES])
async def test_no_outside_text_reaches_the_terminal_as_it_is(
    machine: Machine, command: str
) -> None:
    assert_safe(await CASES[command](machine))


@needs_dbus
@pytest.mark.parametrize(
    "arguments",
    [(OUTSIDE,), ("watch", f"--{OUTSIDE}"), ("run", OUTSIDE), ("demo", "--profile", OUTSIDE)],
)
async def test_a_mistake_on_the_command_line_is_repeated_safely(
    machine: Machine, arguments: tuple[str, ...]
) -> None:
    assert_safe(await machine.printed(*arguments))


def assert_safe(shown: str) -> None:
    # Without the styles of our own.
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "Zq[bold]x" in shown, "brackets are text, not a style"
    found = [ascii(raw) for raw in RAW if raw in shown]
    assert found == [], shown
    lines = shown.replace("\r", "\n").split("\n")
    assert [line for line in lines if line.startswith("forged")] == []
