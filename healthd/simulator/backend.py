"""The scanner and client backends that connect bleak to the virtual radio."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from bleak.args import SizedBuffer
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble.device import Advertisement
from bumble.gatt_client import CharacteristicProxy

from healthd.simulator.discovery import discover
from healthd.simulator.link import Link
from healthd.simulator.structures import contents

logger = logging.getLogger(__name__)

# The same MTU as bluetoothd requests: the longest attribute value (512) fits with its header.
PREFERRED_MTU = 517
# As bluetoothd does: after this time without an advertisement, it no longer knows the device.
FORGOTTEN_S = 30.0


class VirtualRadio(Protocol):
    """The methods of an Air that the backends use."""

    def start_scan(self, listener: Callable[[Advertisement], None]) -> None:
        """Call the listener with every advertisement from now on."""
        ...

    def stop_scan(self, listener: Callable[[Advertisement], None]) -> None:
        """Stop calling the listener."""
        ...

    async def connect(self, address: str) -> Link:
        """Wait until a peripheral advertises, then connect to it."""
        ...


class ScannerBackend(BaseBleakScanner):
    """A scanner on the virtual radio of the Air that created this class.

    It reports what bleak on BlueZ reports: names and service UUIDs stay known for as long as the
    device does, and so does advertised data, unless the filter ``DuplicateData`` is set; then there
    is only that of the newest advertisement.
    """

    air: ClassVar[VirtualRadio]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        _scanning_mode: str,
        *,
        bluez: BlueZScannerArgs | None = None,
        **_options: Any,
    ) -> None:
        """Accept bleak's arguments; ignore the scanning mode and most options for BlueZ."""
        super().__init__(detection_callback, service_uuids)
        self._only_newest = bool((bluez or {}).get("filters", {}).get("DuplicateData"))
        # In the order in which they were heard, so that the first ones are forgotten first.
        self._heard_at: dict[str, float] = {}

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        self._heard_at = {}
        self.air.start_scan(self._on_advertisement)

    async def stop(self) -> None:
        """Stop scanning."""
        self.air.stop_scan(self._on_advertisement)

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        address = advertisement.address.to_string(with_type_qualifier=False)
        self._forget_others(address)
        found = contents(advertisement.data_bytes)
        if address in self.seen_devices:
            _, before = self.seen_devices[address]
            found.name = found.name or before.local_name
            found.services = [*dict.fromkeys((*before.service_uuids, *found.services))]
            if not self._only_newest:
                found.service_data = {**before.service_data, **found.service_data}
                found.manufacturer_data = {**before.manufacturer_data, **found.manufacturer_data}
        if not self.is_allowed_uuid(found.services):
            return
        data = AdvertisementData(
            local_name=found.name,
            manufacturer_data=found.manufacturer_data,
            service_data=found.service_data,
            service_uuids=found.services,
            tx_power=found.tx_power,
            rssi=advertisement.rssi,
            platform_data=(),
        )
        # Without a D-Bus object path: with "path", bleak-retry-connector would use BlueZ.
        kind = "public" if advertisement.address.is_public else "random"
        details = {"source": "healthd.simulator", "props": {"AddressType": kind}}
        device = self.create_or_update_device(address, address, found.name, details, data)
        self.call_detection_callbacks(device, data)

    def _forget_others(self, address: str) -> None:
        """Note that a device is heard, and forget those that have not been heard for long."""
        now = asyncio.get_running_loop().time()
        self._heard_at.pop(address, None)
        self._heard_at[address] = now
        while (oldest := next(iter(self._heard_at.items())))[1] < now - FORGOTTEN_S:
            del self._heard_at[oldest[0]]
            self.seen_devices.pop(oldest[0], None)


class ClientBackend(BaseBleakClient):
    """A client on the virtual radio of the Air that created this class."""

    air: ClassVar[VirtualRadio]

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        services: set[str] | None = None,
        **_options: Any,
    ) -> None:
        """Accept bleak's arguments; ignore the options for other platforms."""
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        self._device = (
            address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        )
        self._wanted = services
        self._link: Link | None = None

    @property
    def name(self) -> str:
        """The advertised name, or the address if the peripheral was never scanned."""
        return (self._device and self._device.name) or self.address

    @property
    def mtu_size(self) -> int:
        """The negotiated ATT MTU in bytes."""
        return self._connected().mtu

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._link is not None and self._link.is_up

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Connect, exchange the MTU and discover the services, within the timeout.

        Raises:
            TimeoutError: The peripheral does not advertise, as with BlueZ.
            BleakDeviceNotFoundError: The same, for a client created from an address only.
            BleakError: The client is already connected, or the link was lost before the services
                were discovered.
        """
        if self.is_connected:
            raise BleakError("Client is already connected")
        if pair:
            logger.debug("not pairing with %s: the simulator has no security", self.address)
        try:
            async with asyncio.timeout(kwargs.get("timeout", self._timeout)):
                link = await self.air.connect(self.address)
                await self._prepare(link)
        except TimeoutError:
            if self._device is None:
                message = f"Device with address {self.address} was not found."
                raise BleakDeviceNotFoundError(self.address, message) from None
            raise
        self._link = link
        link.ended.add_done_callback(self._on_link_end)

    async def _prepare(self, link: Link) -> None:
        try:
            await link.request(lambda gatt: gatt.request_mtu(PREFERRED_MTU))
            self.services = await link.request(lambda gatt: discover(gatt, self._wanted))
        except BaseException:
            link.hang_up()
            raise

    async def disconnect(self) -> None:
        """End the link and wait until it has ended; do nothing if there is no link."""
        if self._link is not None:
            self._link.hang_up()
            await asyncio.wait([self._link.ended])

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: virtual peripherals do not require security."""

    async def unpair(self) -> None:
        """End the link, as on Linux; there is no bond to remove."""
        await self.disconnect()

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic from the peripheral; nothing is cached."""
        return await self._read(characteristic.handle)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor from the peripheral; nothing is cached."""
        return await self._read(descriptor.handle)

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic, with or without response."""
        await self._write(characteristic.handle, bytes(data), response)

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._write(descriptor.handle, bytes(data), response=True)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications, or to indications if there are no notifications."""
        link = self._connected()
        if not {"notify", "indicate"} & set(characteristic.properties):
            raise BleakError(f"{characteristic} neither notifies nor indicates")
        proxy: CharacteristicProxy[bytes] = characteristic.obj

        def deliver(value: bytes) -> None:
            if link.is_up:
                callback(bytearray(value))

        # As in bleak, a characteristic has one callback: the last one that was set.
        link.gatt.notification_subscribers.pop(proxy.handle, None)
        link.gatt.indication_subscribers.pop(proxy.handle, None)
        await link.request(lambda gatt: gatt.subscribe(proxy, deliver))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        await self._connected().request(lambda gatt: gatt.unsubscribe(characteristic.obj))

    async def _read(self, handle: int) -> bytearray:
        return bytearray(await self._connected().request(lambda gatt: gatt.read_value(handle)))

    async def _write(self, handle: int, data: bytes, response: bool) -> None:
        await self._connected().request(lambda gatt: gatt.write_value(handle, data, response))

    def _connected(self) -> Link:
        if self._link is None or not self._link.is_up:
            raise BleakError("Not connected")
        return self._link

    def _on_link_end(self, _ended: asyncio.Future[int]) -> None:
        self._link = None
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()
