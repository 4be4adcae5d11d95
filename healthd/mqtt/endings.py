"""Finds out why a connection ends: what the broker said, and what paho does not pass on."""

from collections.abc import Callable
from typing import Any

from healthd.mqtt import connecting, faults, reasons
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.goodbyes import goodbye, last_disconnect
from healthd.mqtt.reasons import Goodbye

_CONNACK = 0x20

# A CONNACK of MQTT 3.1.1 has two bytes, and codes of its own (section 3.2.2.3). A broker without
# MQTT 5 may answer like that to a client that speaks it.
_CONNACK_3_1_1 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
_UNSPECIFIED_ERROR = 0x80

# What is left in a socket when it closes is at most a few small packets.
_LEFT_BYTES = 65_536


class Endings:
    """Watches the packets and errors of one of paho's clients that end its connection.

    Attributes:
        fault: why the connection ended, or is about to; None if nothing is known.
    """

    def __init__(self, client: Any, endpoint: Endpoint) -> None:
        """Prepare; ``watch`` begins.

        Args:
            client: paho's client.
            endpoint: the broker.
        """
        self.fault: ConnectionLost | None = None
        self._client = client
        self._endpoint = endpoint
        self._tls_problem: str | None = None

    def watch(self, on_refused: Callable[[ConnectionLost], None]) -> None:
        """Watch a new connection; ``on_refused`` is called with the reason of a CONNACK."""
        client = self._client
        handle_connack, handle_disconnect = client._handle_connack, client._handle_disconnect

        def on_connack() -> Any:
            if (fault := self._refusal(self._packet())) is not None:
                on_refused(fault)
            # paho closes the connection on some refusals without a callback.
            return handle_connack()

        def on_disconnect() -> Any:
            self._note(goodbye(self._packet()))
            return handle_disconnect()

        client._handle_connack, client._handle_disconnect = on_connack, on_disconnect
        # The only way to see which error of TLS ends a connection.
        client.on_log = self._on_log

    def connected(self) -> None:
        """Note that CONNACK has arrived: from now on texts for a log would only cost time."""
        self._client.on_log = None

    def unanswered(self, found: str) -> ConnectionLost:
        """Return why the connection ended before CONNACK; ``found`` is paho's own finding."""
        endpoint = self._endpoint
        if self.fault is not None:
            return self.fault  # a DISCONNECT in place of a CONNACK
        begun = self._client._in_packet["command"]
        if found == "Protocol error" or begun not in (0, _CONNACK):
            return faults.not_mqtt(endpoint.address)
        return faults.closed_unanswered(
            endpoint.address,
            endpoint.version,
            self._tls_problem,
            encrypted=endpoint.tls is not None,
        )

    def note_finding(self, found: str) -> None:
        """Note paho's own finding about a connection."""
        if self.fault is None and found == "Protocol error":
            self.fault = faults.broken()
        elif self.fault is None and found == "Keep alive timeout":
            self.fault = faults.stalled(self._client._keepalive)

    def note_left(self, sock: Any) -> None:
        """Read what the broker has said last; a write that failed closes the socket before that."""
        if self._client._in_packet["command"]:
            return
        try:
            left = sock.recv(_LEFT_BYTES)
            if self._endpoint.version == "5":
                self._note(last_disconnect(left))
        except OSError as error:
            self._note_alert(str(error))
        except ValueError:
            pass

    def lost(self) -> ConnectionLost:
        """Return why the connection ended."""
        return self.fault or faults.closed(self._endpoint.address)

    def _packet(self) -> bytes:
        return bytes(self._client._in_packet["packet"])

    def _refusal(self, packet: bytes) -> ConnectionLost | None:
        said = goodbye(packet[1:])
        if len(packet) == 2 and packet[1] and said is None:
            said = Goodbye(_CONNACK_3_1_1.get(packet[1], _UNSPECIFIED_ERROR))
        if said is None:
            return None
        return reasons.refused(said, self._client_id(), self._endpoint.version)

    def _note(self, said: Goodbye | None) -> None:
        if said is not None and self.fault is None:
            self.fault = reasons.disconnected(said, self._client_id(), self._endpoint.version)

    def _client_id(self) -> str:
        identifier: bytes = self._client._client_id
        return identifier.decode()

    def _on_log(self, client: Any, userdata: Any, level: Any, text: str) -> None:
        self._note_alert(text)

    def _note_alert(self, text: str) -> None:
        if "[SSL: " in text:
            reason = text.partition("[SSL: ")[2].partition("]")[0]
            self._tls_problem = connecting.tls_words(reason)
