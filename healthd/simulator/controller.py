"""The virtual Bluetooth controller: bumble's, extended by what a real radio does."""

from bumble.controller import Controller
from bumble.hci import (
    Address,
    HCI_ErrorCode,
    HCI_LE_Connection_Complete_Event,
    HCI_StatusReturnParameters,
    HCI_SyncCommand,
    Role,
)
from bumble.ll import TerminateInd


class VirtualController(Controller):
    """A controller that can cancel a pending connection and end its links."""

    def on_hci_le_create_connection_cancel_command(
        self, _command: HCI_SyncCommand[HCI_StatusReturnParameters]
    ) -> HCI_StatusReturnParameters:
        """Cancel the connection; bumble's method returns *success* but keeps waiting."""
        self.stop_connecting()
        return HCI_StatusReturnParameters(HCI_ErrorCode.SUCCESS)

    def stop_connecting(self) -> None:
        """Cancel the pending connection, if any, and report to the host that it failed."""
        if (pending := self.pending_le_connection) is None:
            return
        # If it stayed set, every later connection would fail with "command disallowed".
        self.pending_le_connection = None
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
