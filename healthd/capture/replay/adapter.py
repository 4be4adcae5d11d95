"""The adapter of a capture, as far as it changed."""

import asyncio
from typing import Literal, get_args

from healthd.capture.replay.recording import Recording
from healthd.central.adapters import Adapters
from healthd.central.link import Report
from healthd.events import AdapterChange
from healthd.traffic.lines import AdapterChanged

# If a capture does not say.
_NAME = "hci0"

_SWITCHED: dict[str, bool | None] = {"on": True, "off": False, "gone": None}
_LOST: dict[str, Literal["bluez_gone", "dbus_lost"]] = {
    "bluez_gone": "bluez_gone",
    "dbus_lost": "dbus_lost",
}
_CHANGES: dict[str, AdapterChange] = {change: change for change in get_args(AdapterChange)}


class ReplayedAdapter:
    """Changes as in the capture; before the first change it is on, unless that switches it on.

    Attributes:
        name: in BlueZ.
    """

    def __init__(self, recording: Recording) -> None:
        """Prepare."""
        self._changes = recording.adapter
        named = (_parts(line)[0] for line in self._changes)
        self.name = next((name for name in named if name), _NAME)
        self._following: asyncio.Future[tuple[Adapters, Report]] = asyncio.Future()

    async def follow(self, adapters: Adapters, report: Report) -> None:
        """See ``Backends.follow``."""
        first = next((line.change for line in self._changes if line.change in _SWITCHED), "")
        if first != "on":
            adapters.update(self.name, True)
        if not self._following.done():
            self._following.set_result((adapters, report))
        await asyncio.Event().wait()

    async def play(self, origin: float) -> None:
        """Do everything that happened; see ``ReplayedDevice.play``."""
        adapters, report = await self._following
        loop = asyncio.get_running_loop()
        for line in self._changes:
            await asyncio.sleep(max(0.0, origin + line.t - loop.time()))
            name, detail = _parts(line)
            if line.change in _SWITCHED:
                adapters.update(name or self.name, _SWITCHED[line.change])
            elif line.change in _LOST:
                adapters.lose_all(_LOST[line.change], detail)
            if line.change in _CHANGES:
                report(_CHANGES[line.change], name, detail)


def _parts(line: AdapterChanged) -> tuple[str, str]:
    """Return the name of the adapter, which may be empty, and what else the line says."""
    name, _, rest = line.detail.partition(" ")
    return (name, rest) if name.startswith("hci") else ("", line.detail)
