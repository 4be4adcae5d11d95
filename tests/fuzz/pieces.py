"""Splits the bytes of an input into the parts that a target needs, and puts seeds together."""


class Pieces:
    """Reads an input from its start; what is missing at the end is zero or empty."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        start, self._at = self._at, self._at + size
        return self._data[start : self._at]

    def number(self) -> int:
        """Return the next byte, 0 to 255."""
        return int.from_bytes(self.take(1), "little")

    def chunk(self) -> bytes:
        """Return the next bytes, as many as the byte before them says; see ``chunk`` below."""
        return self.take(self.number())

    def text(self) -> str:
        """Return the next chunk as text; bytes that are not UTF-8 are replaced."""
        return self.chunk().decode("utf-8", "replace")

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data))


def chunk(part: bytes | str) -> bytes:
    """Return what ``Pieces.chunk`` and ``Pieces.text`` read as this part, of up to 255 bytes."""
    data = part.encode() if isinstance(part, str) else part
    return bytes([len(data)]) + data
