"""Reads a file record by record with little memory, and names the place of what is damaged."""

from collections.abc import Callable
from typing import BinaryIO

from healthd.traffic.codec import BadCapture

LONGEST_PACKET = 70_000
"""No packet of HCI is longer: ACL data has at most 65,535 bytes and a header. A greater length
shows that a file is damaged, or is something else."""

# Reading is fast from some ten kilobytes on.
_BLOCK = 1 << 18


class Records:
    """A file, read in order.

    Attributes:
        number: of the record that is read, from 1.
        start: where that record begins.
        block: a part of the file.
        at: where in the block the next byte is.
        dropped: how many packets the log says it has lost so far.
    """

    def __init__(self, file: BinaryIO, on_progress: Callable[[int], None] | None = None) -> None:
        """Read from the present position of the file."""
        self._file = file
        self._on_progress = on_progress
        self.block = b""
        self.at = 0
        self._read = 0
        self.number = 0
        self.start = 0
        self.dropped = 0

    @property
    def offset(self) -> int:
        """Where the next byte is."""
        return self._read - len(self.block) + self.at

    def begin(self) -> bool:
        """Begin the next record; return False at the end of the file."""
        if self.at == len(self.block) and not self._fill(1):
            return False
        self.number += 1
        self.start = self.offset
        return True

    def take(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            BadCapture: the file has fewer.
        """
        end = self.at + size
        if end > len(self.block):
            if not self._fill(size):
                found = len(self.block) - self.at
                raise self.bad(f"the file ends after {found} of {size} bytes")
            end = self.at + size
        taken = self.block[self.at : end]
        self.at = end
        return taken

    def skip_to(self, at: int, number: int) -> None:
        """Go on at another place of the block, after the record with this number."""
        self.at = at
        self.number = number

    def bad(self, problem: str) -> BadCapture:
        """Return the error for the record that is read."""
        return BadCapture(f"packet {self.number} at byte {self.start}", problem)

    def check_length(self, length: int) -> int:
        """Return the length of a packet.

        Raises:
            BadCapture: no packet has it.
        """
        if length > LONGEST_PACKET:
            raise self.bad(f"a length of {length} bytes, expected at most {LONGEST_PACKET}")
        return length

    def _fill(self, size: int) -> bool:
        rest = self.block[self.at :]
        more = self._file.read(max(_BLOCK, size - len(rest)))
        self._read += len(more)
        self.block, self.at = rest + more, 0
        if self._on_progress is not None:
            self._on_progress(self._read)
        return len(self.block) >= size
