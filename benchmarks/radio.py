"""A fake bleak backend: straps that are found at once, and notify when a benchmark calls them.

Everything above it is real: bleak's client, the session with its subscriptions, the pipeline. The
radio of ``healthd.simulator`` would cost ten times what is measured.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.uuids import normalize_uuid_str

from healthd.central.link import Backends

_SERVICE, _CHARACTERISTIC = normalize_uuid_str("180d"), normalize_uuid_str("2a37")
_HANDLE = 2

# Without a D-Bus path, so that bleak-retry-connector does not use BlueZ.
_DETAILS = {"source": "benchmarks"}


class FakeRadio:
    """Straps by address, and the callbacks for their notifications.

    Attributes:
        addresses: the addresses of all straps.
        linked: the addresses of straps with a link.
        listeners: by address, bleak's callback for a notified value.
        backends: replaces the system's Bluetooth in healthd.
    """

    def __init__(self, addresses: list[str]) -> None:
        """Make straps that advertise during each scan, unless they are linked."""
        self.listeners: dict[str, NotifyCallback] = {}
        self.linked: set[str] = set()
        self.addresses = addresses
        # bleak creates the objects itself, so their classes refer to this radio.
        scanner, client = type("Scanner", (_Scanner,), {}), type("Client", (_Client,), {})
        scanner.radio = client.radio = self
        self.backends = Backends(scanner, client)


class _Scanner(BaseBleakScanner):
    radio: ClassVar[FakeRadio]

    def __init__(
        self,
        detection_callback: Any,
        service_uuids: list[str] | None,
        _scanning_mode: str,
        **_options: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        for address in self.radio.addresses:
            if address in self.radio.linked:
                continue
            data = AdvertisementData("Strap", {}, {}, [_SERVICE], None, -50, ())
            device = self.create_or_update_device(address, address, "Strap", _DETAILS, data)
            self.call_detection_callbacks(device, data)

    async def stop(self) -> None:
        pass


class _Client(BaseBleakClient):
    radio: ClassVar[FakeRadio]

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        **_options: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )

    @property
    def name(self) -> str:
        return "Strap"

    @property
    def mtu_size(self) -> int:
        return 247

    @property
    def is_connected(self) -> bool:
        return self.address in self.radio.linked

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        self.radio.linked.add(self.address)
        self.services = services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, _SERVICE)
        services.add_service(service)
        services.add_characteristic(
            BleakGATTCharacteristic(
                None, _HANDLE, _CHARACTERISTIC, ["notify"], lambda: self.mtu_size - 3, service
            )
        )

    async def disconnect(self) -> None:
        self.radio.linked.discard(self.address)
        self.radio.listeners.pop(self.address, None)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        self.radio.listeners[self.address] = callback

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        self.radio.listeners.pop(self.address, None)

    # These straps are not read, written or paired with.

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        raise NotImplementedError

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        raise NotImplementedError

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        raise NotImplementedError

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        raise NotImplementedError

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        raise NotImplementedError
