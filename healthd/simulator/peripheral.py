"""A virtual peripheral: a GATT server that advertises, accepts a link, and fails on request."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from bumble.core import AdvertisingData, DataType
from bumble.data_types import (
    CompleteListOf16BitServiceUUIDs,
    CompleteListOf128BitServiceUUIDs,
    CompleteLocalName,
    Flags,
)
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic
from bumble.hci import Address, HCI_ErrorCode
from bumble.host import Host
from bumble.link import LocalLink

from healthd.simulator.controller import VirtualController
from healthd.simulator.discovery import canonical
from healthd.simulator.part import Part, Payloads, Sent

# A real strap advertises every 20 ms when it was just put on, and every second when it is idle.
# With this value sixteen peripherals connect within two seconds, and idle ones cost almost no CPU.
ADVERTISING_INTERVAL_MS = 100.0
# A notification has an opcode and a handle before its value.
_NOTIFICATION_HEADER = 3
# The length of UUIDs assigned by the Bluetooth SIG; all others have sixteen bytes.
_SHORT_UUID_BYTES = 2


class VirtualPeripheral:
    """A peripheral made of parts. It has one link at a time, and advertises while it has none.

    Attributes:
        linked: Set while a central is connected.
        unlinked: Set while no central is connected.
        subscribed: Set while the central is subscribed to any characteristic.
        links: The number of links so far.
    """

    def __init__(
        self,
        name: str,
        address: str,
        parts: Sequence[Part],
        *,
        record: Callable[[Sent], None] | None = None,
    ) -> None:
        """Describe a peripheral; ``Air.add`` powers it on.

        Args:
            name: The advertised name; it must fit into 31 bytes together with the UUIDs.
            address: Its Bluetooth address, unique within the Air.
            parts: Its services.
            record: Called with every notification when it is handed to the link.
        """
        self.name = name
        self.address = address
        self.linked = asyncio.Event()
        self.unlinked = asyncio.Event()
        self.unlinked.set()
        self.subscribed = asyncio.Event()
        self.links = 0
        self._parts = tuple(parts)
        self._record = record
        self._in_range = False
        self._silent = False
        self._connection: Connection | None = None
        self._senders: dict[Characteristic[bytes], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._advertising = asyncio.Lock()
        self._radio: tuple[VirtualController, Device] | None = None

    async def power_on(self, ether: LocalLink) -> None:
        """Start the peripheral's own Bluetooth stack on a virtual radio."""
        controller = VirtualController(self.name, link=ether)
        device = Device(
            config=DeviceConfiguration(
                name=self.name,
                address=Address(self.address),
                advertising_data=self._advertising_data(),
                advertising_interval_min=ADVERTISING_INTERVAL_MS,
                advertising_interval_max=ADVERTISING_INTERVAL_MS,
            ),
            host=Host(controller_source=controller, controller_sink=controller),
        )
        device.add_services([part.service for part in self._parts])
        device.on(device.EVENT_CONNECTION, self._on_link)
        server = device.gatt_server
        server.on(server.EVENT_CHARACTERISTIC_SUBSCRIPTION, self._on_subscription)
        await device.power_on()
        self._radio = (controller, device)

    async def power_off(self) -> None:
        """Go out of range, stop all tasks and power off the Bluetooth stack."""
        if self._radio is None:
            return
        await self.vanish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        controller, device = self._powered()
        self._radio = None
        await device.power_off()
        controller.link.remove_controller(controller)

    async def appear(self) -> None:
        """Come into range: advertise whenever no central is connected."""
        self._in_range = True
        await self._update_advertising()

    async def vanish(self) -> None:
        """Go out of range: lose the link by timeout, and do not advertise until ``appear()``."""
        await self._stop_advertising_and_end_link(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    async def rest(self) -> None:
        """Disconnect, and do not advertise until ``appear()``, like a device that goes to sleep."""
        await self._stop_advertising_and_end_link(
            HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR
        )

    async def drop(self) -> None:
        """End the link from the peripheral's side, and advertise again."""
        await self._end_link(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
        await self._update_advertising()

    @property
    def link_handle(self) -> int | None:
        """The controller's handle of the current link; None if there is no link."""
        return None if self._connection is None else self._connection.handle

    def go_silent(self) -> None:
        """Stay connected and respond to requests, but send nothing until ``resume()``."""
        self._silent = True

    def resume(self) -> None:
        """Send notifications again after ``go_silent()``."""
        self._silent = False

    async def send(self, characteristic: Characteristic[bytes], payload: bytes) -> None:
        """Hand a notification to the link; do nothing unless linked, subscribed and not silent."""
        controller, device = self._powered()
        connection = self._connection
        if self._silent or connection is None or characteristic not in self._senders:
            return
        if not controller.is_linked_to(connection.peer_address):
            return  # The link has just ended, but the host has not processed that yet.
        if self._record is not None:
            sent = payload[: connection.att_mtu - _NOTIFICATION_HEADER]
            self._record(Sent(canonical(characteristic.uuid), sent, time.monotonic()))
        if characteristic.properties & Characteristic.Properties.NOTIFY:
            await device.notify_subscriber(connection, characteristic, payload)
        else:
            await device.indicate_subscriber(connection, characteristic, payload)

    async def _send_all(
        self, characteristic: Characteristic[bytes], payloads: Payloads, part: Part
    ) -> None:
        async with aclosing(payloads()) as generator:
            async for payload in generator:
                await self.send(characteristic, payload)
        if part.rests:
            # In a task of its own, because the end of the link cancels this one.
            self._spawn(self._sleep(part.wakes_after_s), "rest")

    async def _sleep(self, seconds: float | None) -> None:
        await self.rest()
        if seconds is not None:
            await asyncio.sleep(seconds)
            await self.appear()

    async def _stop_advertising_and_end_link(self, reason: int) -> None:
        self._in_range = False
        await self._update_advertising()
        await self._end_link(reason)

    async def _end_link(self, reason: int) -> None:
        controller, _ = self._powered()
        controller.hang_up_all(reason)
        await self.unlinked.wait()

    async def _update_advertising(self) -> None:
        # Called after every change of state. bumble's own automatic restart is not used because
        # it would continue to advertise after vanish(). A link ends advertising by itself.
        controller, device = self._powered()
        async with self._advertising:
            if not self._in_range:
                await device.stop_advertising()
            elif controller.is_idle:
                await device.start_advertising()

    def _on_link(self, connection: Connection) -> None:
        self._connection = connection
        self.links += 1
        connection.on(connection.EVENT_DISCONNECTION, self._on_link_end)
        self.unlinked.clear()
        self.linked.set()

    def _on_link_end(self, _reason: int) -> None:
        self._connection = None
        for characteristic in tuple(self._senders):
            self._unsubscribe(characteristic)
        self.linked.clear()
        self.unlinked.set()
        if self._in_range:
            self._spawn(self._update_advertising(), "advertise")

    def _on_subscription(
        self,
        _connection: Connection,
        characteristic: Characteristic[bytes],
        notify: bool,
        indicate: bool,
    ) -> None:
        if not (notify or indicate):
            self._unsubscribe(characteristic)
        elif characteristic not in self._senders:
            for part in self._parts:
                if payloads := part.payloads.get(characteristic):
                    sender = self._spawn(
                        self._send_all(characteristic, payloads, part),
                        f"send {canonical(characteristic.uuid)}",
                    )
                    self._senders[characteristic] = sender
                    self.subscribed.set()

    def _unsubscribe(self, characteristic: Characteristic[bytes]) -> None:
        if sender := self._senders.pop(characteristic, None):
            sender.cancel()
        if not self._senders:
            self.subscribed.clear()

    def _spawn(self, work: Coroutine[Any, Any, None], purpose: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"simulator: {self.name}: {purpose}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _powered(self) -> tuple[VirtualController, Device]:
        if self._radio is None:
            raise RuntimeError(f"{self.name} is not powered on: add it to an Air first")
        return self._radio

    def _advertising_data(self) -> bytes:
        flags = AdvertisingData.Flags
        uuids = [part.service.uuid for part in self._parts if part.advertised]
        short = [uuid for uuid in uuids if len(uuid.uuid_bytes) == _SHORT_UUID_BYTES]
        long = [uuid for uuid in uuids if uuid not in short]
        data: list[DataType] = [
            Flags(flags.LE_GENERAL_DISCOVERABLE_MODE | flags.BR_EDR_NOT_SUPPORTED)
        ]
        if short:
            data.append(CompleteListOf16BitServiceUUIDs(short))
        if long:
            data.append(CompleteListOf128BitServiceUUIDs(long))
        return bytes(AdvertisingData([*data, CompleteLocalName(self.name)]))
