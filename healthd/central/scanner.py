"""One scanner over bleak."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters, BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.bluezdbus.defs import Device1
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak_retry_connector.bleak_manager import get_global_bluez_manager_sync
from bleak_retry_connector.bluez import stop_discovery

from healthd.central.batches import Batches
from healthd.central.faults import faults_raised, faults_suppressed
from healthd.central.focus import Mode
from healthd.central.gate import Gate
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.profiles.uuids import canonical_uuid
from healthd.supervision.deadline import timeout

# Starting and stopping discovery are single D-Bus calls.
_SCAN_TIMEOUT_S = 10.0

_EVERYONE = Mode()

_DATA = frozenset(("ManufacturerData", "ServiceData"))


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


class _Scanner(BleakScannerBlueZDBus):
    """bleak's scanner for BlueZ behind a gate.

    bleak reports the device of any signal with all that BlueZ knows of it, including data of an
    earlier scan. Here an advertisement has only the data that came with its signal.
    """

    def __init__(self, *args: Any, gate: Gate, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gate = gate
        self._bus: Any = None
        self._remove_gate: Callable[[], None] = lambda: None

    async def start(self) -> None:
        manager: Any = await get_global_bluez_manager()
        self._bus = bus = manager._bus
        # Another version of bleak may call it otherwise. Then all signals go to bleak, which only
        # costs more.
        if (inner := getattr(manager, "_parse_msg", None)) is not None:
            # Before bleak's own handler: what a handler returns True for goes no further.
            bus.remove_message_handler(inner)
            bus.add_message_handler(self._gate.on_signal)
            bus.add_message_handler(inner)
            self._remove_gate = lambda: bus.remove_message_handler(self._gate.on_signal)
        try:
            await super().start()
        except BaseException:
            self._remove_gate()
            raise
        self._gate.batches = Batches.of(bus)

    async def stop(self) -> None:
        self._remove_gate()
        if self._gate.batches is not None:
            self._gate.batches.resume()
        try:
            await super().stop()
        except OSError as error:
            if self._bus.connected:
                raise
            # dbus-fast writes to the closed file of a connection that has ended.
            raise EOFError from error

    def _handle_advertising_data(self, path: str, props: Device1) -> None:
        if (changed := self._gate.changed) is not None:
            for name in _DATA - changed.keys():
                props.pop(name, None)
        if self._gate.admits(path, cast("dict[str, Any]", props)):
            super()._handle_advertising_data(path, props)

    def _handle_device_removed(self, device_path: str) -> None:
        self._gate.remove(device_path)
        super()._handle_device_removed(device_path)


def _arguments(mode: Mode) -> BlueZScannerArgs:
    # Without duplicate data, BlueZ would add what a device advertises now to all that it has ever
    # advertised, and on an adapter without BR/EDR would not filter at all: it then leaves out
    # devices that are not discoverable, and pauses for 5 s after every 10 s (BlueZ 5.82).
    filters: BlueZDiscoveryFilters = {"DuplicateData": True}
    if mode.address is not None:
        filters["Pattern"] = mode.address
    # Service data cannot be asked for: with BlueZ 5.66 a pattern begins with the UUID, with 5.82
    # it begins after it.
    kind = AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA
    patterns = [OrPattern(0, kind, beginning) for beginning in mode.beginnings]
    return {"filters": filters, "or_patterns": [*patterns]}


@asynccontextmanager
async def scanning(
    backends: Backends,
    adapter: str | None,
    interest: Interest,
    on_advertisement: Callable[[Advertisement], None],
    on_foreign: Callable[[], None] = lambda: None,
    mode: Mode = _EVERYONE,
) -> AsyncGenerator[None]:
    """Scan while the block runs.

    Args:
        backends: replacements for the system's Bluetooth.
        adapter: its name in BlueZ, such as ``hci0``; None for bleak's choice.
        interest: what is wanted of advertisements; it may change during the scan.
        on_advertisement: called with every advertisement that is wanted, and perhaps with others.
        on_foreign: called for each one that is left out.
        mode: which devices BlueZ reports.

    Raises:
        LinkFault: the adapter cannot scan.
    """

    def detected(device: BLEDevice, data: AdvertisementData) -> None:
        services = frozenset(canonical_uuid(uuid) for uuid in data.service_uuids)
        address, name = device.address.upper(), data.local_name or device.name
        picked = interest.data.pick(data.service_data, data.manufacturer_data)
        found = Advertisement(address, name, services, data.rssi, device, picked)
        on_advertisement(found if not interest.is_tapped else replace(found, whole=data))

    bluez = _arguments(mode)
    if adapter is not None:
        bluez["adapter"] = adapter
    how = "passive" if mode.companies else "active"
    if backends.scanner is not None:
        scanner = BleakScanner(detected, None, how, backend=backends.scanner, bluez=bluez)
    else:
        gate = Gate(interest, on_foreign)
        scanner = BleakScanner(detected, None, how, backend=_Scanner, bluez=bluez, gate=gate)
    with faults_raised():
        async with timeout(_SCAN_TIMEOUT_S):
            await scanner.start()
        try:
            yield
        finally:
            async with timeout(_SCAN_TIMEOUT_S):
                await scanner.stop()
