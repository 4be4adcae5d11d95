"""A made-up maker's protocol: frames with a length and a sum, cut into pieces of four bytes.

Pieces of requests go to two characteristics in turn, and those of answers come from two. A frame is
its length, a number that the answer repeats, an order, data, and a byte that makes the sum 0.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import ClassVar

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.samples import Measurement

SERVICE, WRITES, NOTIFIES = "fff0", ("fff1", "fff2"), ("fff3", "fff4")
LIVE, COUNT, READ, ANSWER = 0x10, 0x11, 0x12, 0x80
_PIECE = 4


def frame(number: int, order: int, data: bytes = b"") -> bytes:
    """Return a frame."""
    start = bytes([4 + len(data), number, order]) + data
    return start + bytes([-sum(start) % 256])


def pieces(whole: bytes, uuids: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Return a frame in pieces, and what carries each of them."""
    starts = range(0, len(whole), _PIECE)
    return [(uuids[index % 2], whole[at : at + _PIECE]) for index, at in enumerate(starts)]


class Pieces:
    """The framing."""

    def __init__(self, _uuids: Collection[str] = ()) -> None:
        self._pieces: dict[str, list[bytes]] = {}

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        self._pieces.clear()
        return pieces(frame, WRITES)

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        if not piece:
            raise DecodeError("offset 0: empty")
        self._pieces.setdefault(uuid, []).append(piece)
        while whole := self._take_whole():
            if sum(whole) % 256:
                self._pieces.clear()
                raise DecodeError("offset 0: wrong sum")
            yield whole

    def _take_whole(self) -> bytes:
        """Take the pieces of a frame out, in turn; return it, or nothing while one is missing."""
        both = [self._pieces.get(each, []) for each in NOTIFIES]
        whole, index = b"", 0
        while index // 2 < len(both[index % 2]):
            whole += both[index % 2][index // 2]
            index += 1
            if len(whole) >= whole[0]:
                del both[0][: (index + 1) // 2], both[1][: index // 2]
                return whole
        return b""


def answers(request: bytes, whole: bytes) -> bool:
    """Return whether a frame has the number of the request."""
    return request[1:2] == whole[1:2]


class Message(Measurement):
    """A whole frame."""

    kind: ClassVar[str] = "message"

    number: int
    order: int
    data: bytes


def decode_message(whole: bytes) -> Message:
    """Decode a frame whose sum is right."""
    if len(whole) < 4:
        raise DecodeError("offset 0: no frame")
    return Message(number=whole[1], order=whole[2], data=whole[3:-1])


channel = partial(Channel, WRITES, NOTIFIES, Pieces, answers=answers, answer_s=0.2, tries=3)


def control(made: Channel | None = None, silence_s: float | None = None) -> Characteristic:
    """Return the control point."""
    made = made or channel()
    return Characteristic(
        made.writes[0], Message, decode_message, Use.CONTROL, silence_s, channel=made
    )
