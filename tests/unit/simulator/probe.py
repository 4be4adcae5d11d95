"""A client on one device of the catalogue."""

import asyncio
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
    """What a central does with a device.

    Attributes:
        peripheral: the device.
        client: linked to it.
    """

    peripheral: VirtualPeripheral
    client: BleakClient
    _inboxes: dict[str, Inbox] = field(default_factory=dict[str, Inbox])

    async def subscribe(self, uuid: str) -> Inbox:
        """Where the characteristic's values arrive from now on."""
        inbox = self._inboxes[uuid] = Inbox()
        await self.client.start_notify(
            normalize_uuid_str(uuid), lambda _, value: inbox.put_nowait(bytes(value))
        )
        return inbox

    async def values(self, uuid: str, count: int) -> list[bytes]:
        """The next so many values of a characteristic that is subscribed to for them."""
        inbox = await self.subscribe(uuid)
        return [await inbox.get() for _ in range(count)]

    async def read(self, uuid: str) -> bytes:
        """The characteristic's value."""
        return bytes(await self.client.read_gatt_char(normalize_uuid_str(uuid)))

    async def write(self, uuid: str, request: str) -> None:
        """Write these hex digits, and wait for the response of ATT."""
        data = bytes.fromhex(request)
        await self.client.write_gatt_char(normalize_uuid_str(uuid), data, response=True)

    async def ask(self, uuid: str, request: str) -> str:
        """Write to a control point that is subscribed to; returns what it indicates, in hex."""
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
    """Put a device into the air and link to it."""
    peripheral = CATALOGUE[model].make(ADDRESS, random.Random(seed), period=period, record=record)
    await bench.air.add(peripheral)
    await peripheral.appear()
    return Probe(peripheral, await bench.connect(peripheral.name))


async def until(inbox: Inbox, wanted: Callable[[bytes], bool]) -> bytes:
    """The first value that is wanted."""
    async with asyncio.timeout(10):
        while not wanted(value := await inbox.get()):
            pass
    return value
