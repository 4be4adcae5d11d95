"""Reads packets of any size in little memory: of one that is too large only the beginning is kept.

With MQTT 5 a client says how large a packet may be. MQTT 3.1.1 has no way to say so, and paho would
collect 256 MB. To end the connection would not help: a retained message comes again.
"""

from typing import Any

LARGEST_PACKET = 262_144
"""In bytes. A message is in memory as a whole before it can be cut. mosquitto 2.0 sends 40 kB a
second over WebSockets, and everything else of its connection waits meanwhile: more than this would
take so long that the connection counts as stalled, each time it is made."""

# For one call of the operating system.
_CHUNK = 65_536


class Incoming:
    """Reads for one of paho's clients."""

    def __init__(self, client: Any, largest: int = LARGEST_PACKET) -> None:
        """Read for ``client`` from now on; keep about ``largest`` bytes of each packet."""
        self._client = client
        self._receive = client._sock_recv
        self._largest = largest
        client._sock_recv = self._read

    def _read(self, size: int) -> bytes:
        data: bytes = self._receive(min(size, _CHUNK))
        packet = self._client._in_packet
        if len(packet["packet"]) < self._largest or len(data) < 2:
            return data
        # paho counts what it gets, so it gets one byte for each chunk.
        packet["to_process"] -= len(data) - 1
        return data[:1]
