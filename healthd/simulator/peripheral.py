"""A virtual peripheral: a GATT server that advertises, is linked to, and misbehaves when told."""

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

# Between the 20 ms that a strap uses when it was just put on and the second of its sleep: sixteen
# of them connect within two seconds, and idle ones cost next to nothing.
ADVERTISING_INTERVAL_MS = 100.0
# A notification carries an opcode and a handle before its value.
_NOTIFICATION_HEADER = 3
# UUIDs that the Bluetooth SIG gave out; all others have sixteen.
_SHORT_UUID_BYTES = 2


class VirtualPeripheral:
    """A peripheral made of parts; one central at a time, and it advertises while it has none.

    Attributes:
        linked: set while a central is linked.
        unlinked: set while none is.
        subscribed: set while the central is subscribed to any characteristic.
        links: how many it has had.
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
            name: the advertised name; it has to fit into 31 bytes with the UUIDs.
            address: its Bluetooth address, of its own in the whole Air.
            parts: its services.
            record: called with every notification when it is handed to the link.
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
        """Vanish, and stop everything."""
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
        """Come into range: advertise until a central links, and after every link."""
        self._in_range = True
        await self._update_advertising()

    async def vanish(self) -> None:
        """Go out of range: a link is lost by timeout, and no advertising until ``appear()``."""
        await self._leave(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    async def rest(self) -> None:
        """Hang up, and do not advertise until ``appear()``: nobody uses it any more."""
        await self._leave(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    async def drop(self) -> None:
        """End the link from this side, and advertise again."""
        await self._end_link(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
        await self._update_advertising()

    @property
    def link_handle(self) -> int | None:
        """The controller's number of the link that there is."""
        return None if self._connection is None else self._connection.handle

    def go_silent(self) -> None:
        """Stay linked and answer requests, but send nothing until ``resume()``."""
        self._silent = True

    def resume(self) -> None:
        """Send again."""
        self._silent = False

    async def send(self, characteristic: Characteristic[bytes], payload: bytes) -> None:
        """Hand a notification to the link; nothing unless linked, subscribed and not silent."""
        controller, device = self._powered()
        connection = self._connection
        if self._silent or connection is None or characteristic not in self._senders:
            return
        if not controller.is_linked_to(connection.peer_address):
            return  # The link has just ended, and the host does not know it yet.
        if self._record is not None:
            sent = payload[: connection.att_mtu - _NOTIFICATION_HEADER]
            self._record(Sent(canonical(characteristic.uuid), sent, time.monotonic()))
        if characteristic.properties & Characteristic.Properties.NOTIFY:
            await device.notify_subscriber(connection, characteristic, payload)
        else:
            await device.indicate_subscriber(connection, characteristic, payload)

    async def _send_all(
        self, characteristic: Characteristic[bytes], payloads: Payloads, rests: bool
    ) -> None:
        async with aclosing(payloads()) as generator:
            async for payload in generator:
                await self.send(characteristic, payload)
        if rests:
            # Beside this: the end of the link ends what sends.
            self._spawn(self.rest())

    async def _leave(self, reason: int) -> None:
        self._in_range = False
        await self._update_advertising()
        await self._end_link(reason)

    async def _end_link(self, reason: int) -> None:
        controller, _ = self._powered()
        controller.hang_up_all(reason)
        await self.unlinked.wait()

    async def _update_advertising(self) -> None:
        # Called after every change, and it looks at the state as it is then: bumble's own
        # automatic restart would go on advertising after vanish().
        _, device = self._powered()
        async with self._advertising:
            wanted = self._in_range and self._connection is None
            if wanted and not device.is_advertising:
                await device.start_advertising()
            elif not wanted:
                await device.stop_advertising()

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
            self._spawn(self._update_advertising())

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
                    sender = self._spawn(self._send_all(characteristic, payloads, part.rests))
                    self._senders[characteristic] = sender
                    self.subscribed.set()

    def _unsubscribe(self, characteristic: Characteristic[bytes]) -> None:
        if sender := self._senders.pop(characteristic, None):
            sender.cancel()
        if not self._senders:
            self.subscribed.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _powered(self) -> tuple[VirtualController, Device]:
        if self._radio is None:
            raise RuntimeError(f"{self.name} is not powered: add it to an Air first")
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
