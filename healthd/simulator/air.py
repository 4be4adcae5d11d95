"""The virtual radio: one adapter of ours, and the peripherals in its range."""

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
from healthd.simulator.controller import VirtualController
from healthd.simulator.link import Link
from healthd.simulator.peripheral import VirtualPeripheral

Listener = Callable[[Advertisement], None]

# Any static random address does (the two highest bits are set); no peripheral may use it.
CENTRAL_ADDRESS = Address("C0:FF:EE:00:00:00")
# Ten advertising intervals: who advertises still is linked by then.
_ANSWER_TIMEOUT_S = 1.0


class Air:
    """A virtual radio with one adapter; give its backends to ``BleakScanner`` and ``BleakClient``.

    Backends are classes that bleak instantiates, so what they share lives here, and each Air has
    classes of its own. Use it as an async context manager: inside, the adapter is powered.

    Attributes:
        scanner_backend: for ``BleakScanner(..., backend=)``.
        client_backend: for ``BleakClient(..., backend=)``.
        peripherals: what was added, in range or not.
    """

    scanner_backend: type[BaseBleakScanner]
    client_backend: type[BaseBleakClient]

    def __init__(self) -> None:
        """Make an empty air; nothing runs before it is entered."""
        self.scanner_backend = type("SimulatedScanner", (ScannerBackend,), {"air": self})
        self.client_backend = type("SimulatedClient", (ClientBackend,), {"air": self})
        self.peripherals: list[VirtualPeripheral] = []
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
        # The host scans all the time, and the controller passes on what it hears while someone
        # listens: scans begin and end inside tasks that may be cancelled, and a cancelled HCI
        # command leaves its answer to the next one.
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

    async def add(self, peripheral: VirtualPeripheral) -> None:
        """Power a peripheral on. It does not advertise before ``appear()``."""
        await peripheral.power_on(self._ether)
        self.peripherals.append(peripheral)

    def start_scan(self, listener: Listener) -> None:
        """Call the listener with every advertisement from now on.

        Raises:
            BleakBluetoothNotAvailableError: the adapter is off.
        """
        controller, _ = self._powered()
        self._listeners.add(listener)
        controller.le_scan_enable = True

    def stop_scan(self, listener: Listener) -> None:
        """Stop calling the listener; nothing if it was not called."""
        self._listeners.discard(listener)
        if self._adapter is not None:
            controller, _ = self._adapter
            controller.le_scan_enable = bool(self._listeners)

    async def connect(self, address: str) -> Link:
        """Link to a peripheral as soon as it advertises; waits until it does.

        Raises:
            BleakBluetoothNotAvailableError: the adapter is, or was turned, off.
        """
        peer = Address(address)
        while True:
            # As in the kernel, only a peripheral that was just heard has a turn with the
            # controller: one that is away must not keep the others waiting.
            await self._hear(peer)
            async with self._initiating:
                controller, central = self._powered()
                try:
                    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                        connection = await self._initiate(controller, central, peer)
                except TimeoutError:
                    continue
                if self._has_answered(peer):
                    break
                # The advertisement that was answered was the last one: a ghost, not a link.
                controller.forget(peer, HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)
        link = Link(connection, lambda: _hang_up(controller, peer))
        self._links.add(link)
        link.ended.add_done_callback(lambda _: self._links.discard(link))
        return link

    async def _hear(self, peer: Address) -> None:
        heard = asyncio.get_running_loop().create_future()

        def listen(advertisement: Advertisement) -> None:
            if advertisement.address == peer and not heard.done():
                heard.set_result(None)

        self.start_scan(listen)
        try:
            await asyncio.wait({heard, self._off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop_scan(listen)
        self._powered()

    async def _initiate(
        self, controller: VirtualController, central: Device, peer: Address
    ) -> Connection:
        attempt = asyncio.create_task(central.connect_le(peer, timeout=None))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # The attempt itself is never cancelled, it is made to fail: bumble would be left with
            # a connection that no one expects. That takes a few turns of the loop.
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
        # The virtual controller repeats each advertisement as its own scan response.
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
