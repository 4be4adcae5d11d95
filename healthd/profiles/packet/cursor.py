"""Reading a packet front to back, and keeping what was read when it ends too early."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from healthd.errors import DecodeError


class Truncated(DecodeError):
    """The packet ended before a field that had to follow."""


class Cursor:
    """A position in a little-endian packet; every reader moves it forward.

    Readers raise Truncated, without moving, where fewer bytes are left than they need.
    """

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        """Start at the first byte of ``data``."""
        self._data = data
        self._offset = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._offset

    def u8(self) -> int:
        """Unsigned, 1 byte."""
        return self._advance(1, "u8")[0]

    def u16(self) -> int:
        """Unsigned, 2 bytes."""
        return int.from_bytes(self._advance(2, "u16"), "little")

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes as they are."""
        return self._advance(size, "raw")

    def text(self) -> str:
        """UTF-8 up to the first NUL or the end; invalid bytes become U+FFFD.

        Everything behind a NUL is padding, often left over from a longer string, and is consumed.
        """
        rest = self._advance(self.remaining, "text")
        return rest.partition(b"\0")[0].decode("utf-8", "replace")

    def finish(self, fields: dict[str, Any]) -> dict[str, Any]:
        """``fields``, with the surplus bytes counted as ``trailing_bytes`` if there are any.

        The bytes left in a truncated packet are the start of the field that did not fit, so they
        are no surplus.
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
def keeping(fields: dict[str, Any]) -> Generator[None]:
    """A block that reads a packet's optional part into ``fields`` and may run out of bytes.

    That ends the block instead of the decoding: what ``fields`` holds by then stays, and
    ``truncated`` is set. Real devices do cut packets, at 20 bytes where the MTU stayed at 23.
    The mandatory part is read outside the block, so that its absence is an error.
    """
    try:
        yield
    except Truncated:
        fields["truncated"] = True
