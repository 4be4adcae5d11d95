"""A private D-Bus with a fake bluetoothd, for the real bleak and healthd."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_bluez import PERIOD_S
from tests.support.restartable import PATH, Restartable, guarded

BOUND_S = 20.0

DBUS_DAEMON = shutil.which("dbus-daemon", path=PATH)
needs_dbus = pytest.mark.skipif(
    DBUS_DAEMON is None,
    reason="NOT TESTED: no dbus-daemon on this machine; apt-get install dbus",
)

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    {rules}
  </policy>
</busconfig>
"""


class Bus(Restartable):
    """A dbus-daemon; an async context manager that starts it."""

    def __init__(self, folder: Path, rules: str = "") -> None:
        """``folder`` is for the socket (a short path); ``rules`` are added to the policy."""
        self._socket = folder / "bus"
        self._config = folder / "bus.conf"
        self._config.write_text(_CONFIG.format(socket=self._socket, rules=rules))

    @property
    def address(self) -> str:
        """Its address, for DBUS_SYSTEM_BUS_ADDRESS."""
        return f"unix:path={self._socket}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        assert DBUS_DAEMON is not None, "mark the test with needs_dbus"
        assert self._process is None, "it is already running"
        self._process = await asyncio.create_subprocess_exec(
            *guarded(DBUS_DAEMON, "--nofork", "--nopidfile", "--print-address"),
            f"--config-file={self._config}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            assert await self._process.stdout.readline(), "dbus-daemon ended at once"

    async def kill(self) -> None:
        """Kill it with SIGKILL; every connection ends."""
        process, self._process = self._running, None
        process.kill()
        await process.wait()
        self._socket.unlink(missing_ok=True)


def strap(address: str = "C0:00:00:00:00:01", name: str = "Strap", **more: Any) -> dict[str, Any]:
    """Describe a device for ``BlueZ``.

    ``more`` may set ``known``, ``connected``, ``bonded``, ``away`` (does not advertise), ``empty``
    (no services), and ``then``: settings that apply after BlueZ was made to forget the device.
    For pairing: ``passkey`` (that the device shows), ``refuses``, ``identity`` (the address that it
    reveals), ``heard_as`` (its address before it was bonded), and ``stuck`` (pairing over an
    existing link is never answered). For advertisements: ``uuids``, ``service_data`` (hex by UUID),
    ``manufacturer_data`` (hex by company id in four hex digits), and ``connectable`` (if false,
    BlueZ forgets the device when the scan stops). ``cuff`` makes it a cuff with a key; see
    ``fake_cuff``.
    """
    return {"address": address, "name": name, "adapter": "hci0", **more}


class BlueZ(Restartable):
    """The fake bluetoothd's process; an async context manager that starts it.

    Attributes:
        calls: member and path of every method call that arrived, including earlier starts.
        filters: every filter that a client has set for its scan.
    """

    def __init__(
        self,
        bus: Bus,
        *devices: dict[str, Any],
        adapters: dict[str, bool],
        modalias: str = "usb:v1D6Bp0246d0542",
        notify_every: int = 1,
        apart: bool = False,
        period_s: float = PERIOD_S,
    ) -> None:
        """Prepare.

        Args:
            bus: the bus to serve on.
            devices: made by ``strap``.
            adapters: by name, whether they are on.
            modalias: contains the version of BlueZ; 5.66 by default.
            notify_every: notify every this many rounds.
            apart: devices notify one after another, not all in the same round.
            period_s: length of a round in seconds.
        """
        self.calls: list[tuple[str, str]] = []
        self.filters: list[dict[str, Any]] = []
        setting = {"adapters": adapters, "devices": devices, "modalias": modalias}
        pace = {"notify_every": notify_every, "apart": apart, "period_s": period_s}
        self._setting = json.dumps(setting | pace)
        self._bus = bus
        self._changed = asyncio.Condition()
        self._answers = 0
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it owns its name."""
        assert self._process is None, "it is already running"
        answers = self._answers
        self._process = await asyncio.create_subprocess_exec(
            *guarded(sys.executable, "-m", "tests.support.fake_bluez", self._setting),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self._bus.address},
            cwd=Path(__file__).parents[2],
        )
        self._reader = asyncio.create_task(self._read(self._process), name="fake BlueZ reader")
        await self._until(lambda: self._answers > answers)

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._reader is not None
        process, self._process = self._running, None
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await self._reader

    async def do(self, do: str, **how: Any) -> None:
        """Send a command, and wait until it is done; see ``FakeBlueZ.execute``."""
        stdin, answers = self._running.stdin, self._answers
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **how}).encode() + b"\n")
        await stdin.drain()
        await self._until(lambda: self._answers > answers)

    def count(self, member: str, path: str = "") -> int:
        """Return how often this was called, on objects whose path contains ``path``."""
        return sum(name == member and path in at for name, at in self.calls)

    async def called(self, member: str, path: str = "", *, times: int = 1) -> None:
        """Wait until this was called this many times."""
        await self._until(lambda: self.count(member, path) >= times)

    async def filtered(self, times: int) -> None:
        """Wait until filters were set this many times."""
        await self._until(lambda: len(self.filters) >= times)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(condition)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            message = json.loads(line)
            async with self._changed:
                if "call" in message:
                    self.calls.append((message["call"], message["path"]))
                elif "filter" in message:
                    self.filters.append(message["filter"])
                else:
                    self._answers += 1
                self._changed.notify_all()
