"""The replayed radio: a scanner that hears, and links that are made, as in a capture."""

import asyncio
from collections.abc import Callable

from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner

from healthd.capture.replay.adapter import ReplayedAdapter
from healthd.capture.replay.backend import ClientBackend, ScannerBackend
from healthd.capture.replay.device import ReplayedDevice
from healthd.capture.replay.link import ReplayedLink
from healthd.capture.replay.recording import Recording
from healthd.central.link import Backends
from healthd.traffic.lines import Advertised

Listener = Callable[[Advertised], None]


class ReplayedAir:
    """All devices of a capture. bleak makes the backends, so what they share is kept here.

    Attributes:
        adapter: name of the adapter; None if the capture has no changes of it.
        backends: what the daemon uses instead of the system's Bluetooth.
    """

    def __init__(self, recording: Recording) -> None:
        """Prepare; ``play`` begins."""
        self._adapter = ReplayedAdapter(recording) if recording.adapter else None
        self.adapter = None if self._adapter is None else self._adapter.name
        self._recording = recording
        self._listeners: dict[Listener, None] = {}
        self._scanned = asyncio.Event()
        self._devices = {
            address: ReplayedDevice(device, self._advertise)
            for address, device in recording.devices.items()
        }
        scanner: type[BaseBleakScanner] = type("ReplayedScanner", (ScannerBackend,), {"air": self})
        client: type[BaseBleakClient] = type("ReplayedClient", (ClientBackend,), {"air": self})
        follow = None if self._adapter is None else self._adapter.follow
        self.backends = Backends(scanner, client, follow)

    async def play(self) -> None:
        """Play the capture from now on; return when everything in it has happened."""
        origin = asyncio.get_running_loop().time() - self._recording.begin_t
        async with asyncio.TaskGroup() as tasks:
            for address, device in self._devices.items():
                tasks.create_task(device.play(origin, self._scanned), name=f"replay {address}")
            if self._adapter is not None:
                tasks.create_task(self._adapter.play(origin), name="replay adapter")

    @property
    def is_closing(self) -> bool:
        """Whether the central of the capture has ended its last link, and healthd has not yet."""
        links = (device.link for device in self._devices.values())
        return any(link is not None and link.is_closing for link in links)

    def start_scan(self, listener: Listener) -> None:
        """Call the listener with every advertisement from now on."""
        self._listeners[listener] = None
        self._scanned.set()

    def stop_scan(self, listener: Listener) -> None:
        """Stop calling the listener."""
        self._listeners.pop(listener, None)
        if not self._listeners:
            self._scanned.clear()

    async def connect(self, address: str) -> ReplayedLink:
        """Make the next link of a device; wait until it advertises.

        Raises:
            Exception: what bleak raised in the capture.
        """
        device = self._devices.get(address.upper())
        if device is None:
            await asyncio.Event().wait()
            raise AssertionError
        return await device.connect()

    def _advertise(self, line: Advertised) -> None:
        for listener in tuple(self._listeners):
            listener(line)
