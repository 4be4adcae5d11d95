"""The adapter's controller, and the medium over which it hears the peripherals.

This module corrects where bumble's controller is incomplete or differs from a radio; each of these
differences first looked like a fault of the daemon.
"""

import asyncio
import time
from collections.abc import Iterator

from bumble import hci, ll
from bumble.controller import AdvertisingSet, Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

from healthd.simulator.controller import VirtualController
from tests.system.guest import dual_mode
from tests.system.guest.hearing import Heard, Hearing, Kind

_PASSIVE = 0


class Ether(LocalLink):
    """The medium over which the controllers hear each other."""

    def is_advertising(self, address: hci.Address) -> bool:
        """Return whether a device can be connected at the address right now."""
        return any(True for _ in self._advertisers(address))

    def scan_response_of(self, address: hci.Address) -> bytes:
        """Return the scan response of the device at the address; empty if it has none."""
        return b"".join(
            bytes(advertiser.scan_response_data) for advertiser in self._advertisers(address)
        )

    def _advertisers(self, address: hci.Address) -> Iterator[LegacyAdvertiser | AdvertisingSet]:
        for controller in self.controllers:
            for advertiser in (
                controller.le_legacy_advertiser,
                *controller.advertising_sets.values(),
            ):
                if advertiser.enabled and advertiser.address == address:
                    yield advertiser

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

    With LE only it has no public address: bumble routes by the random one, and bluetoothd sets a
    static one. A dual-mode one must have it, so it can only scan.

    Attributes:
        hearing: its scan.
        most_links: the largest number of links at a time.
        ended: each link that ended, with the reason of HCI and the monotonic time, in order.
    """

    # Without these two features the kernel uses the older, simpler way to connect, which takes
    # bumble's controller a second; the newer way took 20 s (bumble#841).
    le_features = VirtualController.le_features & ~(
        hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    )

    def __init__(self, ether: Ether, *, is_dual: bool = False) -> None:
        """Add it to the ether.

        Args:
            ether: what it sends to and receives from.
            is_dual: whether it looks as if it supported BR/EDR, too, as most adapters do.
        """
        public = dual_mode.ADDRESS if is_dual else None
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "adapter", link=ether, public_address=public
        )
        if is_dual:
            self.lmp_features = dual_mode.FEATURES
        self._is_dual = is_dual
        self.hearing = Hearing()
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
        sender = pdu.advertiser_address
        address = str(sender).split("/")[0]
        # A device without a scan response of its own repeats the advertisement.
        response = self._ether.scan_response_of(sender) or pdu.data
        self.hear(Heard(address, pdu.data, response, Kind.CONNECTABLE, not sender.is_public))
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def hear(self, heard: Heard) -> bool:
        """Report an advertisement to the kernel; return whether it was reported."""
        reports = list(self.hearing.reports_of(heard))
        if self.host is not None:
            for report in reports:
                self.host.on_packet(report)
        return bool(reports)

    def on_packet(self, packet: bytes) -> None:
        """Answer what bumble does not know, if the kernel takes it for a dual-mode controller."""
        answer = dual_mode.answer(packet) if self._is_dual else None
        if answer is None or self.host is None:
            super().on_packet(packet)
        else:
            self.host.on_packet(answer)

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        """Send data, unless its link has just ended, which the kernel learns a moment later."""
        if self.find_le_connection_by_handle(packet.connection_handle) is not None:
            super().on_hci_acl_data_packet(packet)

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_SyncCommand[hci.HCI_StatusReturnParameters]
    ) -> hci.HCI_StatusReturnParameters:
        """Start or stop scanning."""
        returned = super().on_hci_le_set_scan_enable_command(  # pyright: ignore[reportUnknownMemberType]
            command
        )
        self.hearing.scan(
            time.monotonic(),
            on=self.le_scan_enable,
            active=self.le_scan_type != _PASSIVE,
            leave_out=self.filter_duplicates,
        )
        return returned

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        """Note when and why the link ended."""
        self.ended.append((connection.peer_address, reason, time.monotonic()))
        super().on_le_disconnected(connection, reason)

    def on_hci_reset_command(
        self, _command: hci.HCI_SyncCommand[hci.HCI_StatusReturnParameters]
    ) -> hci.HCI_StatusReturnParameters:
        """Really reset; bumble answers *success* but keeps links, scan and connect."""
        self.le_scan_enable = False
        self.hearing.scan(time.monotonic(), on=False, active=False, leave_out=False)
        self.pending_le_connection = None
        for peer in tuple(self.le_connections):
            # Only the peers are notified: a host that resets expects no events.
            connection = self.le_connections.pop(peer)
            connection.send_ll_control_pdu(
                ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
