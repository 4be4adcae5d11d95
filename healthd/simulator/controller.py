"""The virtual Bluetooth controller: bumble's, extended by what a real radio does."""

import asyncio

from bumble.controller import Connection, Controller
from bumble.hci import (
    Address,
    HCI_ErrorCode,
    HCI_LE_Connection_Complete_Event,
    HCI_StatusReturnParameters,
    HCI_SyncCommand,
    Role,
)
from bumble.ll import ConnectInd, EncReq, TerminateInd

# How often a controller checks that the other ends of its links still exist. A real one hears from
# them at every connection event; with this it notices their end after two to four seconds.
SUPERVISION_S = 2.0
# How long after a cancel that came too late the link ends. By then the host has dealt with the
# answer to the cancel: it must not forget the link while it still waits for that.
CANCELLED_S = 0.5


class VirtualController(Controller):
    """A controller that can cancel a pending connection, and supervises and ends its links."""

    # The link that the last *create connection* has made, unless that was cancelled.
    _made: Connection | None = None

    def on_le_connect_ind(self, packet: ConnectInd) -> None:
        """Accept a link, if it is advertising at this address, and supervise it."""
        before = self.le_connections.get(packet.initiator_address)
        super().on_le_connect_ind(packet)
        self._supervise_if_new(packet.initiator_address, before)

    def create_le_connection(self, peer_address: Address) -> None:
        """Make the link, and supervise it."""
        before = self.le_connections.get(peer_address)
        super().create_le_connection(peer_address)
        self._supervise_if_new(peer_address, before)
        self._made = self.le_connections.get(peer_address)

    def on_le_long_term_key_reply(
        self, connection: Connection, request: EncReq, long_term_key: bytes | None
    ) -> None:
        """Go on with the encryption, unless the link has ended since the host answered."""
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_long_term_key_reply(connection, request, long_term_key)

    def on_hci_le_create_connection_cancel_command(
        self, _command: HCI_SyncCommand[HCI_StatusReturnParameters]
    ) -> HCI_StatusReturnParameters:
        """Cancel the connection; bumble's method returns *success* but keeps waiting."""
        return HCI_StatusReturnParameters(self.cancel_connecting())

    def cancel_connecting(self) -> HCI_ErrorCode:
        """Cancel the pending connection; return the answer to the host.

        If the link was made just before, its report and the host's command have crossed. Linux 6.12
        then ignores the report and keeps the link forever, unused, so the peripheral would never
        advertise again. A radio reports a link at once; here that takes a tenth of a second on a
        loaded machine. So the link ends like one that was not established.
        """
        if self.pending_le_connection is not None:
            self.stop_connecting()
            return HCI_ErrorCode.SUCCESS
        made, self._made = self._made, None
        if made is not None:
            asyncio.get_running_loop().call_later(CANCELLED_S, self._abandon, made)
        return HCI_ErrorCode.COMMAND_DISALLOWED_ERROR

    def stop_connecting(self) -> None:
        """Cancel the pending connection, if any, and report to the host that it failed."""
        if (pending := self.pending_le_connection) is None:
            return
        # If it stayed set, every later connection would fail with "command disallowed".
        self.pending_le_connection = None
        self._made = None
        self.send_hci_packet(
            HCI_LE_Connection_Complete_Event(
                status=HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=Role.CENTRAL,
                peer_address_type=pending.peer_address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )

    @property
    def is_idle(self) -> bool:
        """Whether it neither advertises nor has a link.

        bumble's host learns both a moment later. If a central connects while the host waits for the
        answer to *start advertising*, the host even goes on believing that it advertises.
        """
        advertisers = (self.le_legacy_advertiser, *self.advertising_sets.values())
        return not self.le_connections and not any(each.enabled for each in advertisers)

    def is_linked_to(self, peer: Address) -> bool:
        """Return whether this side has a link with that peer."""
        return peer in self.le_connections

    def hang_up(self, peer: Address, reason: int) -> None:
        """End the link with a peer, if any; both sides see the reason.

        This happens immediately and below HCI, because the host's *disconnect* never returns if the
        peer ends the link at the same time.
        """
        if connection := self.le_connections.get(peer):
            connection.send_ll_control_pdu(TerminateInd(reason))
            self.on_le_disconnected(connection, reason)

    def forget(self, peer: Address, reason: int) -> None:
        """End this side of a link that does not exist on the peer's side."""
        if connection := self.le_connections.get(peer):
            self.on_le_disconnected(connection, reason)

    def hang_up_all(self, reason: int) -> None:
        """End every link."""
        for peer in tuple(self.le_connections):
            self.hang_up(peer, reason)

    def _abandon(self, connection: Connection) -> None:
        if self.le_connections.get(connection.peer_address) is connection:
            reason = HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
            self.hang_up(connection.peer_address, reason)

    def _supervise_if_new(self, peer: Address, before: Connection | None) -> None:
        connection = self.le_connections.get(peer)
        if connection is not None and connection is not before:
            self._supervise(connection)

    def _supervise(self, connection: Connection, missed: int = 0) -> None:
        # A new link exists on one side a moment earlier than on the other, so missing it once is
        # nothing. Without this a peripheral whose central is gone would never advertise again.
        if self.le_connections.get(connection.peer_address) is not connection:
            return
        missed = 0 if self._has_other_end(connection) else missed + 1
        if missed > 1:
            self.on_le_disconnected(connection, HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(SUPERVISION_S, self._supervise, connection, missed)

    def _has_other_end(self, connection: Connection) -> bool:
        ends = (each.le_connections.get(connection.self_address) for each in self.link.controllers)
        return any(end and end.self_address == connection.peer_address for end in ends)
