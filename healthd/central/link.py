"""One link over bleak, and the advertisement that it is made from."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak_retry_connector import establish_connection

from healthd.central.adapters import Adapters
from healthd.central.device import Device
from healthd.central.door import Door
from healthd.central.faults import (
    Flooding,
    Forgotten,
    LinkFault,
    LinkLost,
    NotBack,
    faults_raised,
    faults_suppressed,
)
from healthd.central.insist import run_within
from healthd.central.link_end import LinkEnd
from healthd.central.tap import LinkTap, Opened, Tap, services_of, tapped
from healthd.central.values import Take, Values
from healthd.events import AdapterChange
from healthd.profiles.uuids import canonical_uuid
from healthd.supervision.deadline import timeout

# bleak gives BlueZ 20 s, and the connector may repeat aborted tries. Other peripherals wait.
_CONNECT_TIMEOUT_S = 40.0

# A device that had a link a moment ago is connected without having been heard. Straps advertise at
# least once a second; if it is out of range, other connects wait for this time in vain.
_BACK_S = 2.0

# The ATT timeout of a request; bleak's own loops on InProgress are not bounded.
_GATT_TIMEOUT_S = 30.0

# BlueZ takes about 2 s; if bluetoothd has crashed, no answer ever comes.
_CLOSE_TIMEOUT_S = 5.0


Report = Callable[[AdapterChange, str, str], None]
"""Reports a change of an adapter: what, its name, details."""

Follow = Callable[[Adapters, Report], Awaitable[None]]
"""Keeps the adapters up to date, and reports their changes, until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Replacements for the system's Bluetooth; None means the system's own (BlueZ).

    Attributes:
        scanner: a bleak scanner backend.
        client: a bleak client backend.
        follow: follows the adapter in place of BlueZ; None if there is always an adapter.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    follow: Follow | None = None


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A peripheral that can be connected right now.

    Attributes:
        address: Bluetooth address, upper case.
        name: advertised name, or None.
        services: canonical UUIDs of the advertised services.
        rssi_dbm: signal strength.
        device: bleak's handle to it.
        data: its service data and manufacturer data, by the keys of ``Broadcast``.
        is_recent: whether it was not heard, but had a link until a moment ago.
        whole: all of it, an object of bleak; None unless there is a capture.
    """

    address: str
    name: str | None
    services: frozenset[str]
    rssi_dbm: int
    device: BLEDevice = field(repr=False, compare=False)
    data: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False, compare=False)
    is_recent: bool = field(default=False, repr=False, compare=False)
    whole: Any = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> str | None:
        """Its object in BlueZ; None if another stack replaces BlueZ."""
        return self._details.get("path")

    @property
    def adapter(self) -> str | None:
        """The adapter that has heard it; None if the stack that replaces BlueZ has none."""
        return self._details.get("adapter") if self.path is None else self.path.split("/")[3]

    @property
    def is_private(self) -> bool:
        """Whether its address changes every few minutes, according to BlueZ."""
        kind = self._details.get("props", {}).get("AddressType")
        # Random addresses are static only if both highest bits are set (Core 4.2, 10.8).
        return kind == "random" and int(self.address[:2], 16) >> 6 != 3

    @property
    def _details(self) -> dict[str, Any]:
        details: Any = self.device.details
        return details if isinstance(details, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def advertisement_of(device: Device) -> Advertisement:
    """Return what a link is made from for a device that BlueZ knows."""
    handle = BLEDevice(device.address, device.name, {"path": device.path})
    # The signal strength is not known, and no link depends on it.
    return Advertisement(device.address, device.name, device.services, 0, handle)


class Link:
    """One connection, with its own bleak client.

    A reused client, or a second client next to a live one, gets every notification twice
    (bleak#2002). So each link makes a new client, and the caller closes it before the next link.

    Attributes:
        tap: sees what the link carries, for a capture; None: there is none.
    """

    tap: LinkTap | None = None

    def __init__(self, found: Advertisement, values: Values | None = None) -> None:
        """Prepare; ``open`` connects.

        Args:
            found: what it is made from.
            values: takes notified values from BlueZ; None: bleak does.
        """
        self.path = found.path
        self._values = values if found.path is not None else None
        self._takers: dict[str, Take] = {}
        self.found = found
        self._client: BleakClient | None = None
        self._connecting: BleakClient | None = None
        self._is_open = False
        self._end = LinkEnd(has_reason=found.adapter is not None)
        self._door = Door()
        self._on_left_out: Callable[[str], None] = lambda _: None
        self._characteristics: dict[str, BleakGATTCharacteristic] = {}
        self.services: frozenset[str] = frozenset()

    async def open(self, backends: Backends) -> None:
        """Connect and discover services.

        Raises:
            LinkFault: the connect failed.
        """
        with faults_raised():
            opening = asyncio.create_task(
                run_within(self._connect(backends), _CONNECT_TIMEOUT_S), name="connect"
            )
            gone = asyncio.create_task(self._end.gone(), name="link gone")
            try:
                if self.found.is_recent:
                    await self._come_back(opening, gone)
                await asyncio.wait({opening, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    raise self._end.fault
                opening.result()
            finally:
                gone.cancel()
                if not opening.done():
                    opening.cancel()
                    await asyncio.wait({opening})

    async def _come_back(self, *ends: asyncio.Task[None]) -> None:
        """Give a device that was not heard a moment to connect; its services may take longer.

        Raises:
            NotBack: it does not.
        """
        await asyncio.wait(ends, timeout=_BACK_S, return_when=asyncio.FIRST_COMPLETED)
        is_connected = self._connecting is not None and self._connecting.is_connected
        if not is_connected and not any(end.done() for end in ends):
            raise NotBack

    async def _connect(self, backends: Backends) -> None:
        def client_of(*args: Any, **options: Any) -> BleakClient:
            self._connecting = BleakClient(*args, **options)
            return self._connecting

        self._client = client = await establish_connection(
            cast("type[BleakClient]", client_of),
            self.found.device,
            self.found.name or "unnamed",
            disconnected_callback=self._on_disconnected,
            max_attempts=1,
            # bleak's cache may be older than the peripheral's firmware.
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
        """Canonical UUIDs of the peripheral's characteristics."""
        return frozenset(self._characteristics)

    def can_notify(self, uuid: str) -> bool:
        """Whether the peripheral notifies or indicates the characteristic."""
        return bool({"notify", "indicate"} & set(self._characteristics[uuid].properties))

    def can_write(self, uuid: str, *, response: bool = True) -> bool:
        """Whether the peripheral has the characteristic and lets it be written.

        Many clocks can only be read.

        Args:
            uuid: its canonical UUID.
            response: whether to ask for writes with a response, or for those without.
        """
        characteristic = self._characteristics.get(uuid)
        needed = "write" if response else "write-without-response"
        return characteristic is not None and needed in characteristic.properties

    async def read(self, uuid: str) -> bytes:
        """Read the characteristic's value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """
        if (tap := self.tap) is None:
            return await self._read(uuid)
        return await tapped(
            self._read(uuid), lambda value, answer: tap.on_read(uuid, value, answer)
        )

    async def _read(self, uuid: str) -> bytes:
        async with self._request() as client:
            return bytes(await client.read_gatt_char(self._characteristics[uuid]))

    async def write(self, uuid: str, value: bytes, *, response: bool = True) -> None:
        """Write the characteristic.

        Args:
            uuid: its canonical UUID.
            value: what to write.
            response: whether to wait until the peripheral has acknowledged the value.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """
        writing = self._write(uuid, value, response)
        if (tap := self.tap) is None:
            await writing
            return
        await tapped(writing, lambda _, answer: tap.on_written(uuid, value, response, answer))

    async def _write(self, uuid: str, value: bytes, response: bool) -> None:
        async with self._request() as client:
            await client.write_gatt_char(self._characteristics[uuid], value, response=response)

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        """Subscribe; ``on_value`` is called in the event loop with every notified value.

        Values over the link's share are left out; see ``limit``.

        Raises:
            LinkFault: the peripheral refuses, does not answer, or is gone.
        """

        def take(value: bytes) -> None:
            if self.tap is not None:
                self.tap.on_value(uuid, value)
            if self._door.admits(len(value)):
                on_value(value)
            else:
                self._leave_out(uuid)

        subscribing = self._subscribe(uuid, take)
        if (tap := self.tap) is None:
            await subscribing
            return
        notifies = "notify" in self._characteristics[uuid].properties
        mode = "notify" if notifies else "indicate"
        await tapped(subscribing, lambda _, answer: tap.on_subscribed(uuid, mode, answer))

    async def _subscribe(self, uuid: str, take: Take) -> None:
        def notified(_: BleakGATTCharacteristic, value: bytearray) -> None:
            take(bytes(value))

        async with self._request() as client:
            characteristic = self._characteristics[uuid]
            if self._values is not None:
                path: str = characteristic.obj[0]
                self._takers[path] = take
                self._values.add(path, take)
            await client.start_notify(characteristic, notified)

    def limit(self, on_left_out: Callable[[str], None], *, has_records: bool) -> None:
        """Report what is left out because the peripheral sends too fast.

        Args:
            on_left_out: called with the characteristic of each value that is left out.
            has_records: whether the peripheral sends stored records when healthd asks for them.
        """
        self._on_left_out = on_left_out
        if has_records:
            self._door.expect_records()

    def _leave_out(self, uuid: str) -> None:
        self._on_left_out(uuid)
        if self._door.floods and not self._end.is_gone:
            self._end.lose(Flooding())

    def lose(self, fault: LinkFault) -> None:
        """End the link at once for its users, because the adapter or BlueZ is gone."""
        self._end.lose(fault)

    def on_forgotten(self) -> None:
        """End the connect, if it still runs: BlueZ does not answer it once the device is removed.

        Until bleak gives up (20 s), no other peripheral could be connected. A link that exists is
        ended by BlueZ itself.
        """
        if not self._is_open:
            self._end.lose(Forgotten())

    def give_up(self, fault: LinkFault) -> None:
        """Ask the users of the link to finish with the peripheral and close it."""
        self._end.give_up(fault)

    async def lost(self, *, explained_until: float = math.inf) -> None:
        """Wait until the link ends.

        Args:
            explained_until: see ``LinkEnd.lost``.

        Raises:
            LinkFault: always, when it has ended; the reason says why, as far as it is known.
        """
        await self._end.lost(explained_until=explained_until)

    async def close(self) -> bool:
        """Disconnect; never raises for a link that is gone or a stack that does not answer.

        Does not unsubscribe first: some cuffs forget their bond at an unsubscription
        (hass-omron#136), and the peripheral drops its subscriptions with the link anyway.

        Returns:
            Whether the link is known to have ended; if not, it may still exist in BlueZ.
        """
        self._stop_values()
        if (client := self._client) is None:
            return True
        self._client = None
        reason = self._reason()
        with faults_suppressed():
            await run_within(client.disconnect(), _CLOSE_TIMEOUT_S)
            self._end_tap(reason)
            return True
        self._end_tap(reason)
        return False

    def join(self, tap: Tap, took_s: float | None = None) -> None:
        """Let a capture see what the link carries from now on.

        Args:
            tap: of the peripheral.
            took_s: how long connecting took; None if the link exists already.
        """
        if not self._is_open or self._client is None or self._end.is_gone:
            return
        on_bluez = self.path is not None
        services = services_of(self._client.services, on_bluez=on_bluez)
        mtu = self._bluez_mtu() if on_bluez else self._client.mtu_size
        self.tap = tap.on_connected(Opened(self.found.address, services, mtu, took_s))

    def _bluez_mtu(self) -> int | None:
        """Return the MTU that BlueZ has at each characteristic; BlueZ before 5.62 has none."""
        known = (each.obj[1].get("MTU") for each in self._characteristics.values())
        return next((mtu for mtu in known if mtu), None)

    def _reason(self) -> str:
        """Return why the link ends now, for a capture."""
        fault = self._end.fault
        is_ours = not self._end.is_gone and type(fault) is LinkLost
        return "healthd closed it" if is_ours else str(fault)

    def _end_tap(self, reason: str) -> None:
        if self.tap is not None:
            self.tap.on_disconnected(reason)
            self.tap = None

    @asynccontextmanager
    async def _request(self) -> AsyncGenerator[BleakClient]:
        """Limit the time of one GATT operation, and end it when the link ends."""
        if self._client is None or self._end.is_gone:
            raise self._end.fault
        with faults_raised():
            try:
                async with timeout(_GATT_TIMEOUT_S):
                    yield self._client
            except Exception:
                if self._end.is_gone:
                    raise self._end.fault from None
                raise

    def _stop_values(self) -> None:
        if self._values is not None:
            for path, take in self._takers.items():
                self._values.remove(path, take)

    def _on_disconnected(self, _client: Any) -> None:
        self._stop_values()
        # While connecting, bleak tries again by itself after some disconnections.
        if self._is_open:
            self._end.disconnected()
            if self._client is not None:  # else healthd is closing it
                self._end_tap(self._reason())
