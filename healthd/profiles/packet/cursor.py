"""Reads a packet from front to back, and keeps what was read if it ends too early."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from healthd.errors import DecodeError
from healthd.profiles.packet.text import clean


class Truncated(DecodeError):
    """The packet ended before a field that had to follow."""


class Cursor:
    """A position in a little-endian packet; every read moves it forward.

    A read raises Truncated, without moving, if fewer bytes are left than it needs.
    """

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        """Start at the first byte of ``data``."""
        self._data = data
        self._offset = 0

    @property
    def remaining(self) -> int:
        """The number of bytes not read yet."""
        return len(self._data) - self._offset

    def u8(self) -> int:
        """Read an unsigned number of 1 byte."""
        return self._advance(1, "u8")[0]

    def u16(self) -> int:
        """Read an unsigned number of 2 bytes."""
        return int.from_bytes(self._advance(2, "u16"), "little")

    def read_bytes(self, size: int) -> bytes:
        """Read the next ``size`` bytes as they are."""
        return self._advance(size, "raw")

    def text(self) -> str:
        """Read UTF-8 up to the first NUL or the end, cleaned; invalid bytes become U+FFFD.

        Everything after a NUL is padding, often left over from a longer string, and is consumed.
        """
        rest = self._advance(self.remaining, "text")
        return clean(rest.partition(b"\0")[0].decode("utf-8", "replace"))

    def finish(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return ``fields``, with any surplus bytes counted as ``trailing_bytes``.

        The bytes left in a truncated packet are the start of the field that did not fit, so they
        are not surplus.
        """
        if self.remaining and "truncated" not in fields:
            fields["trailing_bytes"] = self.remaining
        return fields

    def _advance(self, size: int, wanted: str) -> bytes:
        start, end = self._offset, self._offset + size
        if end > len(self._data):
            raise Truncated(
                f"offset {start}: expected {wanted}, found {self.remaining} of {size} bytes"
            )
        self._offset = end
        return self._data[start:end]


@contextmanager
def optional_part(fields: dict[str, Any]) -> Generator[None]:
    """Read a packet's optional part into ``fields`` in a block that may run out of bytes.

    Running out ends the block, not the decoding: ``fields`` keeps what was read and ``truncated``
    is set. Real devices cut packets at 20 bytes if the MTU stays at 23. Read the mandatory part
    outside the block, so that its absence is an error.
    """
    try:
        yield
    except Truncated:
        fields["truncated"] = True
