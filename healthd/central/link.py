"""One scanner and one link, over bleak; the only importer of bleak in the daemon."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak_retry_connector import establish_connection
from bleak_retry_connector.bleak_manager import get_global_bluez_manager_sync
from bleak_retry_connector.bluez import stop_discovery

from healthd.central.faults import LinkFault, LinkLost, faults_raised, faults_suppressed
from healthd.central.insist import insist
from healthd.central.link_end import LinkEnd
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

    @property
    def path(self) -> str | None:
        """BlueZ's object for it; None where another stack stands in for BlueZ."""
        return self._details.get("path")

    @property
    def is_private(self) -> bool:
        """Whether BlueZ knows its address as one that changes every few minutes."""
        kind = self._details.get("props", {}).get("AddressType")
        # Of random addresses only those with both highest bits set are kept (Core 4.2, 10.8).
        return kind == "random" and int(self.address[:2], 16) >> 6 != 3

    @property
    def _details(self) -> dict[str, Any]:
        details: Any = self.device.details
        return details if isinstance(details, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def discard_bluez() -> None:
    """Make bleak drop what it knows of BlueZ, because bluetoothd is gone.

    bleak 3.1 does not follow the owner of org.bluez: its clients stay connected, and a device that
    it remembers as connected is not connected again after bluetoothd is back. It does follow its
    own D-Bus connection, and without that it starts from nothing, so that is what it loses.
    """
    manager = get_global_bluez_manager_sync()
    bus = None if manager is None else manager._bus  # pyright: ignore[reportPrivateUsage]
    if bus is not None and bus.connected:
        bus.disconnect()


async def force_scan_stop(adapter: str) -> None:
    """End the discovery that BlueZ still runs for us, whatever bleak believes. Never raises."""
    with faults_suppressed():
        async with asyncio.timeout(_SCAN_TIMEOUT_S):
            await stop_discovery(adapter)


@asynccontextmanager
async def scanning(
    backends: Backends, adapter: str | None, on_advertisement: Callable[[Advertisement], None]
) -> AsyncGenerator[None]:
    """Scan while the block runs.

    Args:
        backends: whose radio.
        adapter: BlueZ's name of it, such as ``hci0``; None for bleak's choice.
        on_advertisement: called with everything that is heard.

    Raises:
        LinkFault: the adapter cannot scan.
    """

    def detected(device: BLEDevice, data: AdvertisementData) -> None:
        services = frozenset(canonical_uuid(uuid) for uuid in data.service_uuids)
        address, name = device.address.upper(), data.local_name or device.name
        on_advertisement(Advertisement(address, name, services, data.rssi, device))

    bluez: BlueZScannerArgs = {} if adapter is None else {"adapter": adapter}
    scanner = BleakScanner(detected, backend=backends.scanner, bluez=bluez)
    with faults_raised():
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

    def __init__(self, found: Advertisement) -> None:
        """Prepare; ``open`` connects."""
        self.path = found.path
        self.found = found
        self._client: BleakClient | None = None
        self._is_open = False
        self._end = LinkEnd(has_reason=found.path is not None)
        self._characteristics: dict[str, BleakGATTCharacteristic] = {}
        self.services: frozenset[str] = frozenset()

    async def open(self, backends: Backends) -> None:
        """Connect and discover services.

        Raises:
            LinkFault: it did not work this time.
        """
        with faults_raised():
            opening = asyncio.create_task(
                insist(self._connect(backends), _CONNECT_TIMEOUT_S), name="connect"
            )
            gone = asyncio.create_task(self._end.gone(), name="link gone")
            try:
                await asyncio.wait({opening, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    raise self._end.fault
                opening.result()
            finally:
                gone.cancel()
                if not opening.done():
                    opening.cancel()
                    await asyncio.wait({opening})

    async def _connect(self, backends: Backends) -> None:
        self._client = client = await establish_connection(
            BleakClient,
            self.found.device,
            self.found.name or "unnamed",
            disconnected_callback=self._on_disconnected,
            max_attempts=1,
            # What bleak remembers of the services may be older than the peripheral's firmware.
            use_services_cache=False,
            backend=backends.client,
        )
        self.services = frozenset(canonical_uuid(service.uuid) for service in client.services)
        for service in client.services:
            for characteristic in service.characteristics:
                uuid = canonical_uuid(characteristic.uuid)
                self._characteristics.setdefault(uuid, characteristic)
        self._is_open = True
        if not client.is_connected:
            raise LinkLost

    @property
    def characteristics(self) -> frozenset[str]:
        """Canonical UUIDs of what the peripheral has."""
        return frozenset(self._characteristics)

    def can_notify(self, uuid: str) -> bool:
        """Whether the peripheral notifies or indicates the characteristic."""
        return bool({"notify", "indicate"} & set(self._characteristics[uuid].properties))

    def can_write(self, uuid: str) -> bool:
        """Whether the peripheral has the characteristic, and says whether it took what is written.

        Many clocks are there to be read only.
        """
        characteristic = self._characteristics.get(uuid)
        return characteristic is not None and "write" in characteristic.properties

    async def read(self, uuid: str) -> bytes:
        """The characteristic's value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """
        async with self._request() as client:
            return bytes(await client.read_gatt_char(self._characteristics[uuid]))

    async def write(self, uuid: str, value: bytes) -> None:
        """Write the characteristic, and wait until the peripheral has taken the value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """
        async with self._request() as client:
            await client.write_gatt_char(self._characteristics[uuid], value, response=True)

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        """Have ``on_value`` called, in the event loop, with every notified value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """

        def notified(_: BleakGATTCharacteristic, value: bytearray) -> None:
            on_value(bytes(value))

        async with self._request() as client:
            await client.start_notify(self._characteristics[uuid], notified)

    def lose(self, fault: LinkFault) -> None:
        """End the link at once for those who use it: what it went over has gone."""
        self._end.lose(fault)

    def give_up(self, fault: LinkFault) -> None:
        """Have those who use it take leave of the peripheral, and end it: nothing else ends it."""
        self._end.give_up(fault)

    async def lost(self) -> None:
        """Wait until the link ends.

        Raises:
            LinkLost: when it does; the reason says why, as far as it is known.
        """
        await self._end.lost()

    async def close(self) -> bool:
        """Disconnect; never raises for a link that is gone or a stack that does not answer.

        Subscriptions are left as they are: some cuffs forget their bond when one is switched off
        (hass-omron#136), and the peripheral drops them with the link anyway.

        Returns:
            Whether the link is known to have ended; an abandoned one may live on in BlueZ.
        """
        if (client := self._client) is None:
            return True
        self._client = None
        with faults_suppressed():
            await insist(client.disconnect(), _CLOSE_TIMEOUT_S)
            return True
        return False

    @asynccontextmanager
    async def _request(self) -> AsyncGenerator[BleakClient]:
        """Bound one GATT operation, and end it when the link goes."""
        if self._client is None or self._end.is_gone:
            raise self._end.fault
        with faults_raised():
            try:
                async with asyncio.timeout(_GATT_TIMEOUT_S):
                    yield self._client
            except Exception:
                if self._end.is_gone:
                    raise self._end.fault from None
                raise

    def _on_disconnected(self, _client: Any) -> None:
        # While it connects, bleak itself tries again after some disconnections.
        if self._is_open:
            self._end.disconnected()
