"""L2CAP frames from the fragments of ACL data (Core Specification, Vol 3, Part A, section 7.2)."""

import struct
from typing import NamedTuple

_HEADER = struct.Struct("<HH")

_STARTS, _CONTINUES = (0, 2), 1
# The packet boundary flag of a start that the controller has received.
_FROM_CONTROLLER = 2


class Frame(NamedTuple):
    """A complete frame.

    Attributes:
        received: whether the host received it; None if that is not known.
        channel: its channel: 4 is ATT.
        data: what it carries.
    """

    received: bool | None
    channel: int
    data: bytes


class BrokenFrame(Exception):
    """A frame is not complete; the message says why.

    Attributes:
        next: a frame that is complete, and whose beginning showed that.
    """

    def __init__(self, text: str, following: Frame | None = None) -> None:
        """Say why."""
        super().__init__(text)
        self.next = following


class Reassembly:
    """Joins the fragments of one link."""

    def __init__(self) -> None:
        """Start without fragments."""
        self._parts: dict[bool | None, bytearray] = {}

    def take(self, boundary: int, received: bool | None, data: bytes) -> Frame | None:
        """Return the frame that this fragment completes, or None.

        Args:
            boundary: the packet boundary flag.
            received: the direction, or None if the file does not say.
            data: the fragment.

        Raises:
            BrokenFrame: a frame cannot be completed.
        """
        if boundary == _CONTINUES:
            if received is None and len(self._parts) == 1:
                (received,) = self._parts
            if (part := self._parts.get(received)) is None:
                raise BrokenFrame("a fragment of ATT whose beginning is missing")
            part += data
            return self._complete(received)
        if boundary not in _STARTS:
            return None
        if received is None:
            received = boundary == _FROM_CONTROLLER
        lost = self._parts.pop(received, None)
        self._parts[received] = bytearray(data)
        frame = self._complete(received)
        if lost is not None:
            raise BrokenFrame(f"a frame of which only {len(lost)} bytes came", frame)
        return frame

    def forget(self, received: bool | None) -> None:
        """Discard what has come of a frame, because a fragment is cut."""
        self._parts.pop(received, None)

    def _complete(self, received: bool | None) -> Frame | None:
        part = self._parts[received]
        if len(part) < _HEADER.size:
            return None
        length, channel = _HEADER.unpack_from(part)
        whole = _HEADER.size + length
        if len(part) < whole:
            return None
        del self._parts[received]
        if len(part) > whole:
            raise BrokenFrame(f"a frame of {len(part) - 4} bytes that says it has {length}")
        return Frame(received, channel, bytes(part[_HEADER.size :]))
