"""The virtual radio: a Bluetooth adapter that the kernel sees, and the peripherals in its range.

The far end is bumble's controller, as in healthd's simulator; the near end is the kernel, through
/dev/vhci. This module corrects where bumble's controller is incomplete or differs from a radio;
each of these differences first looked like a fault of the daemon.
"""

import asyncio
import logging
import random
import time

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

from healthd.simulator.controller import VirtualController
from healthd.simulator.peripheral import VirtualPeripheral
from tests.system.guest.vhci import Vhci

_PASSIVE = 0
_ADVERTISEMENT = hci.HCI_LE_Advertising_Report_Event.EventType.ADV_IND
_ANSWER = hci.HCI_LE_Advertising_Report_Event.EventType.SCAN_RSP
# A strap across the room, on a moving person. BlueZ ignores changes below 8 dB.
_RSSI_DBM = range(-75, -45)


class Ether(LocalLink):
    """The medium over which the controllers hear each other."""

    def is_advertising(self, address: hci.Address) -> bool:
        """Return whether a device can be connected at the address right now."""
        return any(
            advertiser.enabled and advertiser.address == address
            for controller in self.controllers
            for advertiser in (
                controller.le_legacy_advertiser,
                *controller.advertising_sets.values(),
            )
        )

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Deliver to the other end of the link, from the address that the link was made with.

        bumble identifies the sender by its current random address. The kernel changes that for each
        scan, and the peripheral would not recognise the sender.
        """
        link = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if link is None or receiver is None:
            return
        sender = link.self_address

        def deliver() -> None:
            # The link may have ended since.
            if sender in receiver.le_connections:
                receiver.on_link_acl_data(sender, transport, data)

        asyncio.get_running_loop().call_soon(deliver)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Deliver to the other end if it still exists: both may disconnect at once."""
        receiver = self.find_le_controller(receiver_address)

        def deliver() -> None:
            if receiver is not None and sender_address in receiver.le_connections:
                receiver.on_ll_control_pdu(sender_address, packet)

        asyncio.get_running_loop().call_soon(deliver)

    def send_advertising_pdu(
        self, sender_controller: Controller, packet: ll.AdvertisingPdu
    ) -> None:
        """Deliver to all; a connect request at once, or the device may be gone by then."""
        if not isinstance(packet, ll.ConnectInd):
            super().send_advertising_pdu(sender_controller, packet)
            return
        for controller in tuple(self.controllers):
            if controller is not sender_controller:
                controller.on_ll_advertising_pdu(packet)


class AdapterController(VirtualController):
    """The controller of the adapter, driven by the kernel.

    It has no public address: bumble routes by the random one, and bluetoothd sets a static one.

    Attributes:
        most_links: the largest number of links at a time.
        ended: each link that ended, with the reason of HCI and the monotonic time, in order.
    """

    # Without these two features the kernel uses the older, simpler way to connect, which takes
    # bumble's controller a second; the newer way took 20 s (bumble#841).
    le_features = VirtualController.le_features & ~(
        hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    )

    def __init__(self, ether: Ether) -> None:
        """Add it to the ether."""
        super().__init__("adapter", link=ether)  # pyright: ignore[reportUnknownMemberType]
        self.most_links = 0
        self.ended: list[tuple[hci.Address, int, float]] = []
        self._ether = ether

    def create_le_connection(self, peer_address: hci.Address) -> None:
        """Connect, unless the device has stopped advertising."""
        if peer_address not in self.le_connections and self._ether.is_advertising(peer_address):
            super().create_le_connection(peer_address)
            self.most_links = max(self.most_links, len(self.le_connections))

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report it as a radio does, with a slightly different signal strength each time.

        bumble's reports always have the same signal strength. BlueZ passes on only changes, so
        its clients would not be notified when a device is heard again during the same scan.
        """
        if self.le_scan_enable:
            kinds = [_ADVERTISEMENT] if self.le_scan_type == _PASSIVE else [_ADVERTISEMENT, _ANSWER]
            for kind in kinds:
                report = hci.HCI_LE_Advertising_Report_Event.Report(
                    event_type=kind,
                    address_type=pdu.advertiser_address.address_type,
                    address=pdu.advertiser_address,
                    data=pdu.data,
                    rssi=random.choice(_RSSI_DBM),
                )
                self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        """Note when and why the link ended."""
        self.ended.append((connection.peer_address, reason, time.monotonic()))
        super().on_le_disconnected(connection, reason)

    def on_hci_reset_command(
        self, _command: hci.HCI_SyncCommand[hci.HCI_StatusReturnParameters]
    ) -> hci.HCI_StatusReturnParameters:
        """Really reset; bumble answers *success* but keeps links, scan and connect."""
        self.le_scan_enable = False
        self.pending_le_connection = None
        for peer in tuple(self.le_connections):
            # Only the peers are notified: a host that resets expects no events.
            connection = self.le_connections.pop(peer)
            connection.send_ll_control_pdu(
                ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)


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

    async def plug(self) -> None:
        """Plug the adapter in."""
        self.controller = controller = AdapterController(self._ether)
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
