"""One scanner over bleak."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak_retry_connector.bleak_manager import get_global_bluez_manager_sync
from bleak_retry_connector.bluez import stop_discovery

from healthd.central.faults import faults_raised, faults_suppressed
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.profiles.registry import canonical_uuid
from healthd.supervision.deadline import timeout

# Starting and stopping discovery are single D-Bus calls.
_SCAN_TIMEOUT_S = 10.0


def discard_bluez() -> None:
    """Make bleak drop its knowledge of BlueZ, because bluetoothd is gone.

    bleak 3.1 does not follow the owner of org.bluez: its clients stay connected, and it does not
    reconnect a device that it remembers as connected once bluetoothd is back. It does follow its
    own D-Bus connection and starts from scratch when that ends, so end that connection.
    """
    manager = get_global_bluez_manager_sync()
    bus = None if manager is None else manager._bus  # pyright: ignore[reportPrivateUsage]
    if bus is not None and bus.connected:
        bus.disconnect()


async def force_scan_stop(adapter: str) -> None:
    """End a discovery that BlueZ still runs for us, whatever state bleak is in. Never raises."""
    with faults_suppressed():
        async with timeout(_SCAN_TIMEOUT_S):
            await stop_discovery(adapter)


@asynccontextmanager
async def scanning(
    backends: Backends,
    adapter: str | None,
    interest: Interest,
    on_advertisement: Callable[[Advertisement], None],
) -> AsyncGenerator[None]:
    """Scan while the block runs.

    Args:
        backends: replacements for the system's Bluetooth.
        adapter: its name in BlueZ, such as ``hci0``; None for bleak's choice.
        interest: what is wanted of advertisements; it may change during the scan.
        on_advertisement: called with every advertisement.

    Raises:
        LinkFault: the adapter cannot scan.
    """

    def detected(device: BLEDevice, data: AdvertisementData) -> None:
        services = frozenset(canonical_uuid(uuid) for uuid in data.service_uuids)
        address, name = device.address.upper(), data.local_name or device.name
        picked = interest.data.pick(data.service_data, data.manufacturer_data)
        on_advertisement(Advertisement(address, name, services, data.rssi, device, picked))

    # Without duplicate data, BlueZ would add what a device advertises now to all that it has ever
    # advertised, and on an adapter without BR/EDR would not filter at all: it then leaves out
    # devices that are not discoverable, and pauses for 5 s after every 10 s (BlueZ 5.82).
    bluez: BlueZScannerArgs = {"filters": {"DuplicateData": True}}
    if adapter is not None:
        bluez["adapter"] = adapter
    scanner = BleakScanner(detected, backend=backends.scanner, bluez=bluez)
    with faults_raised():
        async with timeout(_SCAN_TIMEOUT_S):
            await scanner.start()
        try:
            yield
        finally:
            async with timeout(_SCAN_TIMEOUT_S):
                await scanner.stop()
