"""Helpers that put peripherals on the virtual radio and connect to them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from healthd.simulator.air import Air
from healthd.simulator.part import Part, Payloads, Sent
from healthd.simulator.peripheral import VirtualPeripheral

Inbox = asyncio.Queue[bytes]


def characteristic(client: BleakClient, uuid: str) -> BleakGATTCharacteristic:
    """Return a characteristic that must exist."""
    found = client.services.get_characteristic(uuid)
    assert found is not None
    return found


Properties = Characteristic.Properties
Permissions = Characteristic.Permissions


@dataclass
class Puppet:
    """A peripheral whose notifications and delayed responses are controlled by the test."""

    name: str = "Puppet"
    address: str = "C0:00:00:00:00:01"
    record: Callable[[Sent], None] | None = None
    queue: Inbox = field(default_factory=asyncio.Queue[bytes])
    read_requested: asyncio.Event = field(default_factory=asyncio.Event)
    may_respond: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.notifying: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(0x2A37), Properties.NOTIFY, Permissions(0)
        )
        self.indicating: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(0x2A1C), Properties.INDICATE, Permissions(0)
        )
        slow: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(0x2A38),
            Properties.READ,
            Permissions.READABLE,
            CharacteristicValue[bytes](read=self._respond_when_allowed),
        )
        service = Service(UUID.from_16_bits(0x180D), [self.notifying, self.indicating, slow])
        payloads: dict[Characteristic[bytes], Payloads] = {
            self.notifying: self._payloads,
            self.indicating: self._payloads,
        }
        self.peripheral = VirtualPeripheral(
            self.name,
            self.address,
            [Part(service, payloads, advertised=True)],
            record=self.record,
        )

    async def _payloads(self) -> AsyncGenerator[bytes, None]:
        while True:
            yield await self.queue.get()

    async def _respond_when_allowed(self, _connection: Connection) -> bytes:
        self.read_requested.set()
        await self.may_respond.wait()
        return b"late"


@dataclass
class Bench:
    """A virtual radio, and the usual steps of a central."""

    air: Air

    async def find(self, name: str) -> BLEDevice:
        """Find the peripheral that advertises this name."""
        device = await BleakScanner.find_device_by_name(name, backend=self.air.scanner_backend)
        assert device is not None
        return device

    async def client(self, name: str, **options: Any) -> BleakClient:
        """Return a new client that is not connected yet."""
        return BleakClient(await self.find(name), backend=self.air.client_backend, **options)

    async def connect(self, name: str, **options: Any) -> BleakClient:
        """Return a new client that is connected."""
        client = await self.client(name, **options)
        await client.connect()
        return client

    async def puppet(self, **options: Any) -> Puppet:
        """Add a puppet that advertises."""
        puppet = Puppet(**options)
        await self.air.add(puppet.peripheral)
        await puppet.peripheral.appear()
        return puppet
