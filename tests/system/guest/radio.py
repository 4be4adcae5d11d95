"""The virtual radio: a Bluetooth adapter that the kernel sees, and the peripherals in its range.

The far end is bumble's controller, as in healthd's simulator; the near end is the kernel, through
/dev/vhci.
"""

import logging

from bumble import hci

from healthd.simulator.peripheral import VirtualPeripheral
from tests.system.guest.adapter import AdapterController, Ether
from tests.system.guest.hearing import Heard, Hearing
from tests.system.guest.vhci import Vhci


class RadioLog(logging.Handler):
    """Log lines about problems of the radio itself, which make a case inconclusive."""

    def __init__(self) -> None:
        """Collect the warnings of bumble, and unhandled errors of the event loop."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger("bumble").addHandler(self)
        logging.getLogger("asyncio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Store the line."""
        self.lines.append(f"{record.name}: {record.getMessage()}")


class Radio:
    """One adapter, plugged in or not, and the peripherals around it."""

    def __init__(self) -> None:
        """Start without an adapter and without peripherals."""
        self.peripherals: list[VirtualPeripheral] = []
        self.controller: AdapterController | None = None
        self._ether = Ether()
        self._vhci: Vhci | None = None

    async def plug(self, *, is_dual: bool = False) -> None:
        """Plug the adapter in."""
        self.controller = controller = AdapterController(self._ether, is_dual=is_dual)
        self._vhci = Vhci(controller)
        controller.host = self._vhci

    async def unplug(self) -> None:
        """Pull the adapter out; the links of the peripherals time out."""
        if (controller := self.controller) is None or self._vhci is None:
            return
        self.controller = None
        vhci, self._vhci = self._vhci, None
        controller.host = None
        controller.hang_up_all(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        self._ether.remove_controller(controller)
        await vhci.close()

    async def add(self, peripheral: VirtualPeripheral) -> None:
        """Switch a peripheral on. It does not advertise before ``appear()``."""
        await peripheral.power_on(self._ether)
        self.peripherals.append(peripheral)

    def hear(self, heard: Heard) -> bool:
        """Let the adapter hear an advertisement; return whether the kernel gets a report of it."""
        return self.controller is not None and self.controller.hear(heard)

    async def close(self) -> None:
        """Switch everything off."""
        for peripheral in self.peripherals:
            await peripheral.power_off()
        self.peripherals.clear()
        await self.unplug()

    @property
    def links(self) -> int:
        """How many links exist."""
        return len(self.controller.le_connections) if self.controller else 0

    @property
    def scans(self) -> bool:
        """Whether the adapter listens for advertisements."""
        return bool(self.controller and self.controller.le_scan_enable)

    @property
    def hearing(self) -> Hearing:
        """The scan of the adapter, which must be plugged in."""
        assert self.controller is not None, "no adapter is plugged in"
        return self.controller.hearing

    @property
    def most_links(self) -> int:
        """The largest number of links at a time since the adapter was plugged in."""
        return self.controller.most_links if self.controller else 0

    def end_reasons(self, address: str) -> list[int]:
        """Return why each link with the address ended since the adapter was plugged in."""
        return [reason for reason, _ in self._ends(address)]

    def end_times(self, address: str) -> list[float]:
        """Return when each of those links ended, in seconds of the monotonic clock."""
        return [at for _, at in self._ends(address)]

    def _ends(self, address: str) -> list[tuple[int, float]]:
        ended = self.controller.ended if self.controller else []
        return [(reason, at) for peer, reason, at in ended if str(peer).split("/")[0] == address]
