"""The virtual radio: one adapter, and the peripherals in its range."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakError,
)
from bumble.controller import Controller
from bumble.core import ConnectionError as BumbleConnectionError
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.hci import Address, HCI_ErrorCode
from bumble.host import Host
from bumble.link import LocalLink

from healthd.simulator.backend import ClientBackend, ScannerBackend
from healthd.simulator.broadcaster import transmit
from healthd.simulator.controller import VirtualController
from healthd.simulator.device import VirtualDevice
from healthd.simulator.link import Link

Listener = Callable[[Advertisement], None]

# Any static random address works (the two highest bits are set); no peripheral may use it.
CENTRAL_ADDRESS = Address("C0:FF:EE:00:00:00")
# Ten advertising intervals: a peripheral that still advertises is linked by then.
_ANSWER_TIMEOUT_S = 1.0
# bumble's host keeps an entry for every address that it has heard, without a limit.
_MAX_HEARD = 1000
# The same as bumble's controller reports.
_RSSI_DBM = -50


class Air:
    """A virtual radio with one adapter; pass its backends to ``BleakScanner`` and ``BleakClient``.

    bleak instantiates the backend classes itself, so their shared state is kept here and each Air
    has its own backend classes. Use it as an async context manager: inside, the adapter is powered.

    Attributes:
        scanner_backend: Pass it to ``BleakScanner(..., backend=)``.
        client_backend: Pass it to ``BleakClient(..., backend=)``.
        peripherals: All added peripherals, in range or not.
        scanned: Set while there is a scan.
    """

    scanner_backend: type[BaseBleakScanner]
    client_backend: type[BaseBleakClient]

    def __init__(self) -> None:
        """Create a radio without peripherals; nothing runs before it is entered."""
        self.scanner_backend = type("SimulatedScanner", (ScannerBackend,), {"air": self})
        self.client_backend = type("SimulatedClient", (ClientBackend,), {"air": self})
        self.peripherals: list[VirtualDevice] = []
        self.scanned = asyncio.Event()
        self._ether = LocalLink()
        self._listeners: set[Listener] = set()
        self._links: set[Link] = set()
        # A controller initiates one connection at a time.
        self._initiating = asyncio.Lock()
        self._off: asyncio.Future[None]
        self._adapter: tuple[VirtualController, Device] | None = None

    async def __aenter__(self) -> Self:
        """Power the adapter on."""
        controller = VirtualController("central", link=self._ether)
        central = Device(
            config=DeviceConfiguration(name="healthd", address=CENTRAL_ADDRESS),
            host=Host(controller_source=controller, controller_sink=controller),
        )
        await central.power_on()
        central.on(central.EVENT_ADVERTISEMENT, self._on_advertisement)
        # The host scans all the time, and the controller forwards advertisements only while there
        # are listeners. Scans start and end inside tasks that may be cancelled, and the response to
        # a cancelled HCI command would be taken for the response to the next command.
        await central.start_scanning(active=False)
        controller.le_scan_enable = False
        self._off = asyncio.get_running_loop().create_future()
        self._adapter = (controller, central)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Power everything off: pending connections fail, all links end."""
        controller, central = self._powered()
        self._adapter = None
        self._off.set_result(None)
        controller.stop_connecting()
        controller.hang_up_all(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
        if self._links:
            await asyncio.wait([link.ended for link in self._links])
        for peripheral in self.peripherals:
            await peripheral.power_off()
        self.peripherals.clear()
        await central.stop_scanning()
        await central.power_off()
        self._ether.remove_controller(controller)

    async def add(self, peripheral: VirtualDevice) -> None:
        """Power on a peripheral. It does not advertise before ``appear()``."""
        await peripheral.power_on(self._ether)
        self.peripherals.append(peripheral)

    def transmit(self, address: str, data: bytes) -> None:
        """Put any bytes on air once, as the advertisement of a device with this address."""
        transmit(self._ether, address, data)

    def report(self, address: str, data: bytes) -> None:
        """Report any bytes to the scans at once, as the advertisement of a device.

        Unlike ``transmit``, this leaves out the virtual controller, HCI and bumble's host, which
        take 30 times as long: it is for crowds of foreign devices.
        """
        heard = Advertisement(Address(address), rssi=_RSSI_DBM, data_bytes=data)
        for listener in tuple(self._listeners):
            listener(heard)

    def start_scan(self, listener: Listener) -> None:
        """Call the listener with every advertisement from now on.

        Raises:
            BleakBluetoothNotAvailableError: The adapter is off.
        """
        controller, _ = self._powered()
        self._listeners.add(listener)
        self.scanned.set()
        controller.le_scan_enable = True

    def stop_scan(self, listener: Listener) -> None:
        """Stop calling the listener; do nothing if it is not registered."""
        self._listeners.discard(listener)
        if not self._listeners:
            self.scanned.clear()
        if self._adapter is not None:
            controller, _ = self._adapter
            controller.le_scan_enable = bool(self._listeners)

    async def connect(self, address: str) -> Link:
        """Wait until a peripheral advertises, then connect to it.

        Raises:
            BleakBluetoothNotAvailableError: The adapter is off, or was turned off meanwhile.
        """
        peer = Address(address)
        while True:
            # As in the kernel, only a peripheral that has just advertised gets a turn with the
            # controller: a peripheral out of range must not keep the others waiting.
            await self._wait_for_advertisement(peer)
            async with self._initiating:
                controller, central = self._powered()
                try:
                    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                        connection = await self._initiate(controller, central, peer)
                except TimeoutError:
                    continue
                if self._has_answered(peer):
                    break
                # The controller answered the last advertisement before the peripheral went away,
                # so this link exists on one side only.
                controller.forget(peer, HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)
        link = Link(connection, lambda: _hang_up(controller, peer))
        self._links.add(link)
        link.ended.add_done_callback(lambda _: self._links.discard(link))
        return link

    async def _wait_for_advertisement(self, peer: Address) -> None:
        advertised = asyncio.get_running_loop().create_future()

        def listen(advertisement: Advertisement) -> None:
            if advertisement.address == peer and not advertised.done():
                advertised.set_result(None)

        self.start_scan(listen)
        try:
            await asyncio.wait({advertised, self._off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop_scan(listen)
        self._powered()

    async def _initiate(
        self, controller: VirtualController, central: Device, peer: Address
    ) -> Connection:
        attempt = asyncio.create_task(
            central.connect_le(peer, timeout=None), name=f"simulator: connect to {peer}"
        )
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # Never cancel the attempt itself, make it fail instead: otherwise bumble would keep a
            # connection without an owner. Failing takes a few iterations of the event loop.
            controller.stop_connecting()
            while not attempt.done():
                try:
                    await asyncio.wait([attempt])
                except asyncio.CancelledError:
                    continue
            if attempt.exception() is None:
                _hang_up(controller, peer)
            raise
        except BumbleConnectionError as error:
            self._powered()
            raise BleakError(f"the connection failed: {error}") from error

    def _has_answered(self, peer: Address) -> bool:
        other: Controller | None = self._ether.find_le_controller(peer)
        return isinstance(other, VirtualController) and other.is_linked_to(CENTRAL_ADDRESS)

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        _, central = self._powered()
        if len(central.advertisement_accumulators) > _MAX_HEARD:
            central.advertisement_accumulators.clear()
        # The virtual controller sends each advertisement again as its own scan response.
        if not advertisement.is_scan_response:
            for listener in tuple(self._listeners):
                listener(advertisement)

    def _powered(self) -> tuple[VirtualController, Device]:
        if self._adapter is None:
            raise BleakBluetoothNotAvailableError(
                "the virtual adapter is off", BleakBluetoothNotAvailableReason.POWERED_OFF
            )
        return self._adapter


def _hang_up(controller: VirtualController, peer: Address) -> None:
    controller.hang_up(peer, HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
