"""The virtual Bluetooth controller: bumble's, with what a radio does and it leaves out."""

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
    """A controller whose pending connection can be cancelled, and whose links can be cut."""

    def on_hci_le_create_connection_cancel_command(
        self, _command: HCI_SyncCommand[HCI_StatusReturnParameters]
    ) -> HCI_StatusReturnParameters:
        """Cancel for real: bumble's answers *success* and goes on waiting for the peer."""
        self.stop_connecting()
        return HCI_StatusReturnParameters(HCI_ErrorCode.SUCCESS)

    def stop_connecting(self) -> None:
        """Give up the pending connection, if any, and tell the host that it failed."""
        if (pending := self.pending_le_connection) is None:
            return
        # Left in place, it would make every later connection "command disallowed".
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

    def is_linked_to(self, peer: Address) -> bool:
        """Whether this side holds a link with that peer."""
        return peer in self.le_connections

    def hang_up(self, peer: Address, reason: int) -> None:
        """End the link with a peer, both sides seeing the reason; nothing if there is none.

        At once and below HCI, because the host's *disconnect* waits for ever on a link that the
        peer has ended meanwhile.
        """
        if connection := self.le_connections.get(peer):
            connection.send_ll_control_pdu(TerminateInd(reason))
            self.on_le_disconnected(connection, reason)

    def forget(self, peer: Address, reason: int) -> None:
        """End this side of a link that the peer never had."""
        if connection := self.le_connections.get(peer):
            self.on_le_disconnected(connection, reason)

    def hang_up_all(self, reason: int) -> None:
        """End every link."""
        for peer in tuple(self.le_connections):
            self.hang_up(peer, reason)
