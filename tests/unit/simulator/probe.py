"""A client that is connected to a device of the catalogue."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bleak import BleakClient
from bleak.uuids import normalize_uuid_str

from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from tests.unit.simulator.bench import Bench, Inbox

ADDRESS = "C0:00:00:00:00:10"


@dataclass
class Probe:
    """A device and a client that is connected to it.

    Attributes:
        peripheral: The device.
        client: The client.
    """

    peripheral: VirtualPeripheral
    client: BleakClient
    _inboxes: dict[str, Inbox] = field(default_factory=dict[str, Inbox])

    async def subscribe(self, uuid: str) -> Inbox:
        """Subscribe to a characteristic; return the queue of its values."""
        inbox = self._inboxes[uuid] = Inbox()
        await self.client.start_notify(
            normalize_uuid_str(uuid), lambda _, value: inbox.put_nowait(bytes(value))
        )
        return inbox

    async def values(self, uuid: str, count: int) -> list[bytes]:
        """Subscribe to a characteristic and return its next ``count`` values."""
        inbox = await self.subscribe(uuid)
        return [await inbox.get() for _ in range(count)]

    async def read(self, uuid: str) -> bytes:
        """Read a characteristic."""
        return bytes(await self.client.read_gatt_char(normalize_uuid_str(uuid)))

    async def write(self, uuid: str, request: str) -> None:
        """Write bytes given as hex digits, and wait for the ATT response."""
        data = bytes.fromhex(request)
        await self.client.write_gatt_char(normalize_uuid_str(uuid), data, response=True)

    async def request(self, uuid: str, request: str) -> str:
        """Write to a subscribed control point; return its indication as hex digits."""
        await self.write(uuid, request)
        return (await self._inboxes[uuid].get()).hex(" ")


async def probe(
    bench: Bench,
    model: str,
    *,
    period: float = 0.02,
    seed: int = 1,
    record: Callable[[Sent], None] | None = None,
) -> Probe:
    """Add a device to the virtual radio and connect to it."""
    peripheral = CATALOGUE[model].make(ADDRESS, random.Random(seed), period=period, record=record)
    await bench.air.add(peripheral)
    await peripheral.appear()
    return Probe(peripheral, await bench.connect(peripheral.name))


async def until(inbox: Inbox, wanted: Callable[[bytes], bool]) -> bytes:
    """Wait for the first wanted value; the test's own timeout ends the wait."""
    while not wanted(value := await inbox.get()):
        pass
    return value
