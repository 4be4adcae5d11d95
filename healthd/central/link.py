"""One scanner and one link, over bleak; the only importer of bleak in the daemon."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak_retry_connector import establish_connection

from healthd.central.faults import LinkFault, LinkLost, classify
from healthd.profiles.registry import canonical_uuid

# bleak gives BlueZ 20 s and the connector may repeat aborted tries; other peripherals wait.
_CONNECT_TIMEOUT_S = 40.0

# ATT gives every request 30 s; bleak's loops on InProgress have no bound of their own.
_GATT_TIMEOUT_S = 30.0

# BlueZ takes about 2 s; after a crash of bluetoothd it never answers.
_CLOSE_TIMEOUT_S = 5.0

# Starting and stopping discovery are single D-Bus calls.
_SCAN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Backends:
    """What stands in for the system's Bluetooth; None is the system's own (BlueZ).

    Attributes:
        scanner: a bleak scanner backend.
        client: a bleak client backend.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A peripheral that can be connected to right now.

    Attributes:
        address: Bluetooth address, upper case.
        name: advertised name, or None.
        services: canonical UUIDs of the advertised services.
        rssi_dbm: signal strength.
        device: bleak's handle to it.
    """

    address: str
    name: str | None
    services: frozenset[str]
    rssi_dbm: int
    device: BLEDevice = field(repr=False, compare=False)


@asynccontextmanager
async def _faults() -> AsyncGenerator[None]:
    """Turn what bleak and D-Bus raise into faults; leave bugs as they are."""
    try:
        yield
    except Exception as error:
        if fault := classify(error):
            raise fault from error
        raise


@asynccontextmanager
async def scanning(
    backends: Backends, on_advertisement: Callable[[Advertisement], None]
) -> AsyncGenerator[None]:
    """Scan while the block runs.

    Raises:
        LinkFault: the adapter cannot scan.
    """

    def detected(device: BLEDevice, data: AdvertisementData) -> None:
        services = frozenset(canonical_uuid(uuid) for uuid in data.service_uuids)
        address, name = device.address.upper(), data.local_name or device.name
        on_advertisement(Advertisement(address, name, services, data.rssi, device))

    scanner = BleakScanner(detected, backend=backends.scanner)
    async with _faults():
        async with asyncio.timeout(_SCAN_TIMEOUT_S):
            await scanner.start()
        try:
            yield
        finally:
            async with asyncio.timeout(_SCAN_TIMEOUT_S):
                await scanner.stop()


class Link:
    """One connection's life, on a bleak client of its own.

    A client that is used again, or a second one beside a live one, gets every notification
    twice (bleak#2002), so ``connect`` makes a new one and the caller closes it before the next.
    """

    def __init__(self) -> None:
        """Prepare; ``open`` connects."""
        self._client: BleakClient | None = None
        self._gone = asyncio.Event()
        self._characteristics: dict[str, BleakGATTCharacteristic] = {}
        self.services: frozenset[str] = frozenset()

    @classmethod
    async def open(cls, found: Advertisement, backends: Backends) -> "Link":
        """Connect and discover services.

        Raises:
            LinkFault: it did not work this time.
        """
        link = cls()
        async with _faults(), asyncio.timeout(_CONNECT_TIMEOUT_S):
            link._client = client = await establish_connection(
                BleakClient,
                found.device,
                found.name or "unnamed",
                disconnected_callback=link._on_disconnected,
                max_attempts=1,
                backend=backends.client,
            )
        link.services = frozenset(canonical_uuid(service.uuid) for service in client.services)
        for service in client.services:
            for characteristic in service.characteristics:
                uuid = canonical_uuid(characteristic.uuid)
                link._characteristics.setdefault(uuid, characteristic)
        return link

    @property
    def characteristics(self) -> frozenset[str]:
        """Canonical UUIDs of what the peripheral has."""
        return frozenset(self._characteristics)

    def can_notify(self, uuid: str) -> bool:
        """Whether the peripheral notifies or indicates the characteristic."""
        return bool({"notify", "indicate"} & set(self._characteristics[uuid].properties))

    async def read(self, uuid: str) -> bytes:
        """The characteristic's value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """
        async with self._request() as client:
            return bytes(await client.read_gatt_char(self._characteristics[uuid]))

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        """Have ``on_value`` called, in the event loop, with every notified value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """

        def notified(_: BleakGATTCharacteristic, value: bytearray) -> None:
            on_value(bytes(value))

        async with self._request() as client:
            await client.start_notify(self._characteristics[uuid], notified)

    async def lost(self) -> None:
        """Wait until the link ends.

        Raises:
            LinkLost: when it does.
        """
        await self._gone.wait()
        raise LinkLost

    async def close(self) -> None:
        """Disconnect; never raises for a link that is gone or a stack that does not answer.

        Subscriptions are left as they are: some cuffs forget their bond when one is switched off
        (hass-omron#136), and the peripheral drops them with the link anyway.
        """
        if (client := self._client) is None:
            return
        self._client = None
        with suppress(LinkFault):
            async with _faults(), asyncio.timeout(_CLOSE_TIMEOUT_S):
                await client.disconnect()

    @asynccontextmanager
    async def _request(self) -> AsyncGenerator[BleakClient]:
        """Bound one GATT operation, and end it with LinkLost when the link goes."""
        if self._client is None or self._gone.is_set():
            raise LinkLost
        async with _faults():
            try:
                async with asyncio.timeout(_GATT_TIMEOUT_S):
                    yield self._client
            except Exception:
                if self._gone.is_set():
                    raise LinkLost from None
                raise

    def _on_disconnected(self, _client: Any) -> None:
        self._gone.set()
