"""What a broker says at the end of a connection, read from its last packets."""

from collections.abc import Iterable
from contextlib import suppress

from healthd.mqtt.goodbyes import goodbye, last_disconnect
from tests.fuzz import target


class Target(target.Target):
    """The input is read as the body of a CONNACK or DISCONNECT, and as whole packets."""

    words = (
        b"\xe0",
        b"\x1f\x00\x04",
        b"\x1c\x00\x02",
        b"\x26\x00\x01a\x00\x01b",
        b"\xff\xff\xff\x7f",
    )

    def seeds(self) -> Iterable[bytes]:
        """Yield a reason with text and reference, and packets before a DISCONNECT."""
        body = b"\x8d\x0e\x1f\x00\x04gone\x1c\x00\x04b:18"
        yield body
        yield b"\x9c\x0d\x11\0\0\0\1\x26\x00\x01a\x00\x02bc"
        yield b"\xd0\x00\x40\x02\x00\x01\xe0" + bytes([len(body)]) + body

    def fuzz(self, data: bytes) -> None:
        """Read it; a text has no more characters than the packet has bytes."""
        said = [goodbye(data)]
        with suppress(ValueError):
            said.append(last_disconnect(data))
        for each in filter(None, said):
            code, *texts = each
            assert 0x80 <= code <= 0xFF
            assert sum(len(text or "") for text in texts) <= len(data)
