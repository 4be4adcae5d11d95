"""A virtual device that only advertises: what it measures is in its advertisements."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from bumble.hci import Address
from bumble.link import LocalLink
from bumble.ll import AdvInd

from healthd.simulator.part import Sent
from healthd.simulator.structures import advertised, complete_name, flags, service_list

# An advertisement and its scan response together; each holds 31 bytes.
_MAX_BYTES = 62

Frame = Mapping[str, bytes]
"""The data of one advertisement, by ``service_data_181d`` or ``manufacturer_data_0102``."""

Frames = Callable[[], AsyncGenerator[Frame, None]]
"""Generates the advertisements of a device, each one when it goes on air."""


class Broadcaster:
    """A device that advertises while it is in range, and accepts no link.

    Its advertisements go through the link layer of the adapter's controller and through HCI, as
    those of a ``VirtualPeripheral`` do, but it has no controller of its own. bumble's controller
    knows only one type of advertisement, so these, too, are reported as connectable.
    """

    def __init__(
        self,
        name: str,
        address: str,
        frames: Frames,
        *,
        services: Sequence[str] = (),
        named_after: int = 0,
        record: Callable[[Sent], None] | None = None,
    ) -> None:
        """Describe a device; ``Air.add`` powers it on.

        Args:
            name: Its name, in the scan response; empty for none.
            address: Its Bluetooth address, unique within the Air; changing it takes effect with the
                next advertisement.
            frames: What it advertises; called again whenever it comes into range.
            services: The UUIDs that it lists: 4 or 36 characters, all of one size.
            named_after: How many advertisements are heard without their scan response at first.
            record: Called with all data that is put on air.
        """
        self.name = name
        self.address = address
        self._frames = frames
        self._head = flags() + (service_list(*services) if services else b"")
        self._unnamed = named_after
        self._record = record
        self._ether: LocalLink | None = None
        self._task: asyncio.Task[None] | None = None

    async def power_on(self, ether: LocalLink) -> None:
        """Use this virtual radio."""
        self._ether = ether

    async def power_off(self) -> None:
        """Go out of range, for good."""
        await self.vanish()
        self._ether = None

    async def appear(self) -> None:
        """Come into range and advertise; do nothing if it is in range."""
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name=f"simulator: {self.name}")

    async def vanish(self) -> None:
        """Go out of range: nothing is heard until ``appear()``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def send(self, frame: Frame) -> None:
        """Put one advertisement on air.

        Raises:
            ValueError: It is too long.
        """
        if self._ether is None:
            raise RuntimeError(f"{self.name} is not powered on: add it to an Air first")
        data = self._head + advertised(frame)
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{len(data)} bytes do not fit into an advertisement")
        if self._unnamed:
            self._unnamed -= 1
        elif self.name:
            # A controller reports the two one after the other; the kernel joins them.
            data += complete_name(self.name)
        if self._record is not None:
            for key, value in frame.items():
                self._record(Sent(key, value, time.monotonic()))
        transmit(self._ether, self.address, data)

    async def _send_all(self) -> None:
        async with aclosing(self._frames()) as frames:
            async for frame in frames:
                self.send(frame)


def transmit(ether: LocalLink, address: str, data: bytes) -> None:
    """Put any bytes on a virtual radio, as the advertisement of a device with this address."""
    advertisement = AdvInd(Address(address), data)
    loop = asyncio.get_running_loop()
    for controller in ether.controllers:
        loop.call_soon(controller.on_ll_advertising_pdu, advertisement)
