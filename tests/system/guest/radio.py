"""The virtual radio: a Bluetooth adapter that the kernel sees, and the peripherals in its range.

The far end is bumble's controller, as in healthd's simulator; here the near end is the kernel, by
way of /dev/vhci. What bumble's controller leaves out, or does otherwise than a radio, is mended
here: each of it looked like a fault of the daemon first.
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
# A strap across the room, of somebody who moves. BlueZ ignores changes below 8 dB.
_RSSI_DBM = range(-75, -45)


class Ether(LocalLink):
    """What controllers hear of each other."""

    def is_advertising(self, address: hci.Address) -> bool:
        """Whether somebody can be connected to at the address right now."""
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

        bumble names the sender by its random address of this moment. The kernel changes that for
        each scan, and the peripheral would not know whose data it is.
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
        """Deliver to the other end, where there still is one: both may hang up at once."""
        receiver = self.find_le_controller(receiver_address)

        def deliver() -> None:
            if receiver is not None and sender_address in receiver.le_connections:
                receiver.on_ll_control_pdu(sender_address, packet)

        asyncio.get_running_loop().call_soon(deliver)

    def send_advertising_pdu(
        self, sender_controller: Controller, packet: ll.AdvertisingPdu
    ) -> None:
        """Deliver to all; a request to connect at once, or it reaches one who has left."""
        if not isinstance(packet, ll.ConnectInd):
            super().send_advertising_pdu(sender_controller, packet)
            return
        for controller in tuple(self.controllers):
            if controller is not sender_controller:
                controller.on_ll_advertising_pdu(packet)


class AdapterController(VirtualController):
    """The controller of the adapter that the kernel drives.

    It has no public address: bumble routes by the random one, and bluetoothd sets a static one.

    Attributes:
        most_links: how many there were at once, at most.
        ended: each link that ended, with the reason of HCI and the monotonic time, in order.
    """

    # Without these two the kernel takes its older, simpler way to connect, which bumble's
    # controller serves within a second; by the other one it took 20 s (bumble#841).
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
        """Connect, but not to one whose last advertisement this was."""
        if peer_address not in self.le_connections and self._ether.is_advertising(peer_address):
            super().create_le_connection(peer_address)
            self.most_links = max(self.most_links, len(self.le_connections))

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report it as a radio does, each time a little louder or softer.

        bumble's reports have one loudness for ever. BlueZ passes on what has changed, so a device
        that is heard again during a scan that goes on would not be heard by BlueZ's clients.
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
        """Note it."""
        self.ended.append((connection.peer_address, reason, time.monotonic()))
        super().on_le_disconnected(connection, reason)

    def on_hci_reset_command(
        self, _command: hci.HCI_SyncCommand[hci.HCI_StatusReturnParameters]
    ) -> hci.HCI_StatusReturnParameters:
        """Reset for real: bumble's answers *success* and keeps links, scan and connect going."""
        self.le_scan_enable = False
        self.pending_le_connection = None
        for peer in tuple(self.le_connections):
            # Below HCI, and only for the peers: the host that resets expects no events.
            connection = self.le_connections.pop(peer)
            connection.send_ll_control_pdu(
                ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)


class RadioLog(logging.Handler):
    """What goes wrong in the radio itself; a case during which it spoke proves nothing."""

    def __init__(self) -> None:
        """Listen to bumble, and to what the event loop cannot hand to anybody."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger("bumble").addHandler(self)
        logging.getLogger("asyncio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(f"{record.name}: {record.getMessage()}")


class Radio:
    """One adapter, in or out, and peripherals around it."""

    def __init__(self) -> None:
        """An empty room without an adapter."""
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
        """Pull the adapter out: the peripherals notice that nobody answers any more."""
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
        """How many links there are."""
        return len(self.controller.le_connections) if self.controller else 0

    @property
    def scans(self) -> bool:
        """Whether the adapter listens for advertisements."""
        return bool(self.controller and self.controller.le_scan_enable)

    @property
    def most_links(self) -> int:
        """How many links there were at once, at most, since the adapter was plugged in."""
        return self.controller.most_links if self.controller else 0

    def end_reasons(self, address: str) -> list[int]:
        """The reason of each end of a link with the address since the adapter was plugged in."""
        return [reason for reason, _ in self._ends(address)]

    def end_times(self, address: str) -> list[float]:
        """When each of those links ended, in seconds of the monotonic clock."""
        return [at for _, at in self._ends(address)]

    def _ends(self, address: str) -> list[tuple[int, float]]:
        ended = self.controller.ended if self.controller else []
        return [(reason, at) for peer, reason, at in ended if str(peer).split("/")[0] == address]
