"""Reads packets from the broker: as few system calls as possible, and little memory.

paho reads each packet in three system calls. Here one call takes everything that has arrived, and
an acknowledgement, which is nearly all that a gateway gets, does not go through paho's parser:
together that is a sixth of the CPU of a sample.

With MQTT 5 a client says how large a packet may be. MQTT 3.1.1 has no way to say so, and paho would
collect 256 MB. So of a packet that is too large only the beginning is kept. To end the connection
would not help: a retained message comes again.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

LARGEST_PACKET = 262_144
"""In bytes. A message is in memory as a whole before it can be cut. mosquitto 2.0 sends 40 kB a
second over WebSockets, and everything else of its connection waits meanwhile: more than this would
take so long that the connection counts as stalled, each time it is made."""

# For one call of the operating system; a record of TLS is as long.
_CHUNK = 16_384

# PUBACK with nothing but a packet identifier: the broker has accepted a publish (MQTT 5 section
# 3.4.2.1, MQTT 3.1.1 section 3.4). One with a reason code or properties is longer.
_ACCEPTED, _ACCEPTED_SIZE = b"\x40\x02", 4


class Incoming:
    """Reads for one of paho's clients."""

    def __init__(
        self, client: Any, on_accepted: Callable[[int], None], largest: int = LARGEST_PACKET
    ) -> None:
        """Read for ``client`` from now on.

        Args:
            client: paho's client.
            on_accepted: called with the packet identifier of each publish that the broker accepts,
                in place of paho's callback; it must not publish.
            largest: about how many bytes of each packet are kept.
        """
        self._client = client
        self._on_accepted = on_accepted
        self._largest = largest
        self._receive = client._sock_recv
        client._sock_recv = self._read
        self._buffer, self._at = b"", 0
        self._is_empty = False
        self._is_plain = False

    def read(self) -> None:
        """Handle all packets that have arrived."""
        client = self._client
        # Less than was asked for: nothing is left. TLS and WebSockets return single records.
        self._is_plain = type(client._sock) is socket.socket
        self._is_empty = False
        while (connection := client._sock) is not None:
            client.loop_read()
            if self._at < len(self._buffer) or not self._is_empty:
                continue  # paho handles a limited number of packets at a time
            # What TLS has decrypted already does not wake the event loop.
            if self._is_plain or not connection.pending():
                return
            self._is_empty = False

    def _read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, empty at the end of the connection; called by paho's parser.

        Raises:
            BlockingIOError: nothing is left to read.
        """
        packet = self._client._in_packet
        if not packet["command"]:
            self._take_accepted()
        while self._at == len(self._buffer):
            if not self._fill():
                return b""
            if not packet["command"]:
                self._take_accepted()
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        if len(packet["packet"]) < self._largest or len(data) < 2:
            return data
        # paho counts what it gets, so it gets one byte for each chunk.
        packet["to_process"] -= len(data) - 1
        return data[:1]

    def _fill(self) -> bool:
        """Receive; return False at the end of the connection."""
        if self._is_empty:
            raise BlockingIOError
        # If it raises, the connection is over, or nothing is left.
        self._is_empty = True
        self._buffer, self._at = b"", 0
        self._buffer = self._receive(_CHUNK)
        self._client._last_bytes_received = time.monotonic()
        self._is_empty = self._is_plain and len(self._buffer) < _CHUNK
        return bool(self._buffer)

    def _take_accepted(self) -> None:
        """Take the acknowledgements that come next, as paho would; nothing waits for its info."""
        client, buffer, at = self._client, self._buffer, self._at
        while buffer.startswith(_ACCEPTED, at) and len(buffer) >= at + _ACCEPTED_SIZE:
            mid = buffer[at + 2] << 8 | buffer[at + 3]
            if client._out_messages.pop(mid, None) is not None:
                client._inflight_messages -= 1
                self._on_accepted(mid)
            at += _ACCEPTED_SIZE
        self._at = at
