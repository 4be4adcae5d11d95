"""A virtual radio environment for tests: peripherals, a radio, and sessions with observers."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bumble.core import UUID
from bumble.gatt import Characteristic as GattCharacteristic
from bumble.gatt import CharacteristicValue

from healthd.central.adapters import Adapters
from healthd.central.link import Backends
from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.events import ControlEvent
from healthd.gateway.entry import match_for
from healthd.profiles import registry as registry_module
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.options import Options
from healthd.profiles.registry import Registry
from healthd.sessions.hold import Rules
from healthd.sessions.periodic import Fetched
from healthd.sessions.session import Session, State
from healthd.settings.model import PeripheralSettings
from healthd.simulator.air import Air
from healthd.simulator.backend import ClientBackend, ScannerBackend
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import SyntheticHeart, chest_strap

# Tests wait for events, which take milliseconds; a busy machine may need a thousand times as long.
BOUND_S = 40.0

_KNOWN = registry_module.load().characteristics


class News:
    """A base for objects that change, so that a test can wait for a condition."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class Traffic(News):
    """Counts what the adapter is asked to do; faults are injected here, below bleak."""

    def __init__(self) -> None:
        super().__init__()
        self.scans = self.scanning = self.most_scanning = 0
        self.clients = self.connecting = self.most_connecting = 0
        self.overlapped = False
        self.scan_fault: Exception | None = None
        self.disconnect_fault: Exception | None = None
        self.disconnect_hangs = False
        self.live_links_closed = 0
        self.heard: dict[str, int] = {}
        self.repeat_last: Callable[[], None] = lambda: None

    def note(self) -> None:
        self.most_scanning = max(self.most_scanning, self.scanning)
        self.most_connecting = max(self.most_connecting, self.connecting)
        self.overlapped |= bool(self.scanning and self.connecting)
        self.changed()


class _Scanner(ScannerBackend):
    traffic: ClassVar[Traffic]

    async def start(self) -> None:
        if self.traffic.scan_fault is not None:
            raise self.traffic.scan_fault
        self.traffic.scans += 1
        self.traffic.scanning += 1
        self.traffic.note()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        for _ in range(5):  # BlueZ does not stop at once either
            await asyncio.sleep(0)
        self.traffic.scanning -= 1
        self.traffic.note()

    def call_detection_callbacks(
        self, device: BLEDevice, advertisement_data: AdvertisementData
    ) -> None:
        heard, name = self.traffic.heard, str(device.name)
        heard[name] = heard.get(name, 0) + 1
        report = super().call_detection_callbacks
        self.traffic.repeat_last = lambda: report(device, advertisement_data)
        report(device, advertisement_data)
        self.traffic.changed()


class _Client(ClientBackend):
    traffic: ClassVar[Traffic]

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        self.traffic.clients += 1
        self.traffic.connecting += 1
        self.traffic.note()
        try:
            await super().connect(pair, **kwargs)
        finally:
            self.traffic.connecting -= 1
            self.traffic.note()

    async def disconnect(self) -> None:
        self.traffic.live_links_closed += self.is_connected
        if self.traffic.disconnect_hangs:
            await asyncio.Event().wait()
        await super().disconnect()
        if self.traffic.disconnect_fault is not None:
            raise self.traffic.disconnect_fault


class Watcher(News):
    """Records everything that sessions report."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[tuple[str, State, str | None]] = []
        self.links: list[tuple[str, str | None, list[str]]] = []
        self.heard: list[tuple[str, str | None, list[str], str]] = []
        self.values: list[tuple[str, str, bytes]] = []
        self.fetched: list[tuple[str, Fetched]] = []
        self.due: list[tuple[str, int]] = []
        self.control: list[dict[str, Any]] = []
        self.left_out: list[tuple[str, list[str]]] = []
        self.too_fast: list[tuple[str, str]] = []
        self.no_data: list[tuple[str, str | None]] = []
        self.when: dict[State, Callable[[], object]] = {}

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        self.states.append((peripheral, state, reason))
        self.when.get(state, lambda: None)()
        self.changed()

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        self.links.append((peripheral, name, profiles))

    def on_heard(
        self, peripheral: str, name: str | None, profiles: list[str], address: str
    ) -> None:
        self.heard.append((peripheral, name, profiles, address))

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        self.values.append((peripheral, characteristic.uuid, value))
        self.changed()

    def on_too_fast(self, peripheral: str, uuid: str) -> None:
        self.too_fast.append((peripheral, uuid))

    def on_left_out(self, peripheral: str, uuids: list[str]) -> None:
        self.left_out.append((peripheral, uuids))
        self.changed()

    def on_no_data(self, peripheral: str, reason: str | None) -> None:
        self.no_data.append((peripheral, reason))
        self.changed()

    def on_control(self, event: ControlEvent) -> None:
        self.control.append(event.fields())
        self.changed()

    def sample_count(self, peripheral: str) -> int:
        streams = {uuid for uuid, known in _KNOWN.items() if known.use is Use.STREAM}
        return sum(sender == peripheral and uuid in streams for sender, uuid, _ in self.values)

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        self.fetched.append((peripheral, fetched))
        self.changed()

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        self.due.append((peripheral, wall_ns))

    async def runs(self, number: int, peripheral: str | None = None) -> list[Fetched]:
        """Wait for this many runs of a peripheral, or of any."""

        def matching() -> list[Fetched]:
            return [run for fetched, run in self.fetched if peripheral in (None, fetched)]

        await self.until(lambda: len(matching()) >= number)
        return matching()

    def count(self, uuid: str) -> int:
        return sum(value[1] == uuid for value in self.values)

    async def more(self, uuid: str, number: int) -> None:
        """Wait for this many more values."""
        enough = self.count(uuid) + number
        await self.until(lambda: self.count(uuid) >= enough)

    async def streaming(self, times: int = 1) -> None:
        await self.until(lambda: [row[1] for row in self.states].count(State.STREAMING) >= times)


@dataclass
class Stage:
    """One adapter, and the usual steps of a test."""

    air: Air
    registry: Registry
    traffic: Traffic = field(default_factory=Traffic)
    watcher: Watcher = field(default_factory=Watcher)

    @property
    def backends(self) -> Backends:
        shared = {"air": self.air, "traffic": self.traffic}
        return Backends(type("Scanner", (_Scanner,), shared), type("Client", (_Client,), shared))

    async def add(self, peripheral: VirtualPeripheral) -> VirtualPeripheral:
        await self.air.add(peripheral)
        await peripheral.appear()
        return peripheral

    async def strap(self, name: str = "Strap", number: int = 1) -> VirtualPeripheral:
        """Add a chest strap that advertises and sends a value every 50 ms."""
        heart = SyntheticHeart(random.Random(number))
        return await self.add(chest_strap(name, address(number), heart, period=0.05))

    @asynccontextmanager
    async def radio(
        self, *entries: PeripheralSettings, slots: int = 5, adapters: Adapters | None = None
    ) -> AsyncGenerator[Radio]:
        """Run a radio that knows these peripherals."""
        radio = Radio(self.backends, Slots(slots), adapters)
        for entry in entries:
            radio.add(match_for(entry, self.registry))
        scanning = asyncio.create_task(radio.run(lambda: None), name="radio")
        try:
            yield radio
        finally:
            await cancel(scanning)
        assert scanning.cancelled()

    def session(
        self,
        radio: Radio,
        entry: PeripheralSettings,
        silence_s: float | None = None,
        options: Options | None = None,
        rules: Rules | None = None,
    ) -> Session:
        match = match_for(entry, self.registry)
        return Session(match, radio, self.registry, self.watcher, silence_s, options, rules)


def address(number: int) -> str:
    """Return the address of the strap with this number."""
    return f"C0:00:00:00:00:{number:02X}"


def by_address(number: int = 1, name: str = "by-address") -> PeripheralSettings:
    return PeripheralSettings(id=name, address=address(number))


def by_name(pattern: str, name: str = "by-name") -> PeripheralSettings:
    return PeripheralSettings(id=name, name=pattern)


def by_service(name: str = "by-service") -> PeripheralSettings:
    return PeripheralSettings(id=name, service="heart_rate")


def readable(number: int, value: CharacteristicValue[bytes] | bytes) -> GattCharacteristic[bytes]:
    """Make a characteristic that can only be read."""
    read, permitted = GattCharacteristic.Properties.READ, GattCharacteristic.Permissions.READABLE
    return GattCharacteristic(UUID.from_16_bits(number), read, permitted, value)


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    await asyncio.wait([task])
