"""The scanner and client backends that connect bleak to a replayed radio."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, cast

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from healthd.capture.replay.link import ReplayedLink
from healthd.profiles.uuids import canonical_uuid, full_uuid
from healthd.traffic.lines import Advertised, Characteristic, Service

# BlueZ shows this if the signal strength is not known.
_NO_RSSI_DBM = -127

# A write command carries an opcode and a handle before its value.
_WRITE_COMMAND_HEADER = 3


class Radio(Protocol):
    """The methods of the replayed air that the backends use."""

    adapter: str | None

    def start_scan(self, listener: Callable[[Advertised], None]) -> None:
        """Call the listener with every advertisement from now on."""
        ...

    def stop_scan(self, listener: Callable[[Advertised], None]) -> None:
        """Stop calling the listener."""
        ...

    async def connect(self, address: str) -> ReplayedLink:
        """Make the next link of a device."""
        ...


class ScannerBackend(BaseBleakScanner):
    """A scanner on the radio of the air that created this class.

    A line of a capture has what bleak has reported, so nothing is added to it here.
    """

    air: ClassVar[Radio]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        _scanning_mode: str,
        **_options: Any,
    ) -> None:
        """Accept bleak's arguments; ignore the scanning mode and the options for BlueZ."""
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        self.air.start_scan(self._on_advertisement)

    async def stop(self) -> None:
        """Stop scanning."""
        self.air.stop_scan(self._on_advertisement)

    def _on_advertisement(self, line: Advertised) -> None:
        services = [_full(uuid) for uuid in line.services]
        if not self.is_allowed_uuid(services):
            return
        data = AdvertisementData(
            local_name=line.name,
            manufacturer_data={
                int(company, 16): value for company, value in line.manufacturer_data.items()
            },
            service_data={_full(uuid): value for uuid, value in line.service_data.items()},
            service_uuids=services,
            tx_power=None,
            rssi=_NO_RSSI_DBM if line.rssi_dbm is None else line.rssi_dbm,
            platform_data=(),
        )
        # Without a D-Bus object path: with "path", bleak-retry-connector would use BlueZ.
        details = {"source": "healthd.capture.replay", "adapter": self.air.adapter}
        address = line.device.upper()
        device = self.create_or_update_device(address, address, line.name, details, data)
        self.call_detection_callbacks(device, data)


class ClientBackend(BaseBleakClient):
    """A client on the radio of the air that created this class."""

    air: ClassVar[Radio]

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        **_options: Any,
    ) -> None:
        """Accept bleak's arguments; ignore the options for other platforms."""
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        self._link: ReplayedLink | None = None

    @property
    def name(self) -> str:
        """The address: the link itself has no name."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """The ATT MTU of the capture, in bytes."""
        return self._connected().recorded.mtu

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._link is not None and self._link.is_up

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Make the next link of the capture.

        Raises:
            TimeoutError: there is none within the timeout, as with BlueZ.
            BleakError: as in the capture.
        """
        if self.is_connected:
            raise BleakError("Client is already connected")
        async with asyncio.timeout(kwargs.get("timeout", self._timeout)):
            link = await self.air.connect(self.address)
        self._link = link
        self.services = _collection(link.recorded.services, link.recorded.mtu)
        link.ended.add_done_callback(self._on_link_end)

    async def disconnect(self) -> None:
        """End the link; do nothing if there is no link."""
        if self._link is not None:
            self._link.hang_up()

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: whatever was secret is not in a capture."""

    async def unpair(self) -> None:
        """End the link, as on Linux; there is no bond to remove."""
        await self.disconnect()

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic as the capture's central did."""
        return bytearray(await self._connected().read(characteristic.handle))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor as the capture's central did."""
        return bytearray(await self._connected().read(descriptor.handle))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic."""
        await self._connected().write(characteristic.handle, bytes(data))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._connected().write(descriptor.handle, bytes(data))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to a characteristic."""
        await self._connected().subscribe(characteristic.handle, callback)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        self._connected().unsubscribe(characteristic.handle)

    def _connected(self) -> ReplayedLink:
        if self._link is None or not self._link.is_up:
            raise BleakError("Not connected")
        return self._link

    def _on_link_end(self, _ended: asyncio.Future[None]) -> None:
        self._link = None
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()


def _full(uuid: str) -> str:
    return full_uuid(canonical_uuid(uuid))


def _collection(services: tuple[Service, ...], mtu: int) -> BleakGATTServiceCollection:
    """Return the services in bleak's form."""
    collection = BleakGATTServiceCollection()
    for each in services:
        service = BleakGATTService(None, each.handle, _full(each.uuid))
        collection.add_service(service)
        for characteristic in each.characteristics:
            _add(collection, service, characteristic, mtu)
    return collection


def _add(
    collection: BleakGATTServiceCollection,
    service: BleakGATTService,
    each: Characteristic,
    mtu: int,
) -> None:
    characteristic = BleakGATTCharacteristic(
        None,
        each.handle,
        _full(each.uuid),
        cast(Any, sorted(each.properties)),
        lambda: mtu - _WRITE_COMMAND_HEADER,
        service,
    )
    collection.add_characteristic(characteristic)
    for descriptor in each.descriptors:
        collection.add_descriptor(
            BleakGATTDescriptor(None, descriptor.handle, _full(descriptor.uuid), characteristic)
        )
