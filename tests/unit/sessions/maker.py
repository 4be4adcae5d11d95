"""A made-up maker's protocol: frames with a length and a sum, cut into pieces of four bytes.

Requests go to two characteristics in turn, and answers come from two. A frame is its length, a
number, an order or a result, data, and a byte that makes the sum of all bytes 0.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial

from healthd.errors import DecodeError
from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import Channel, Characteristic, Use

WRITES, NOTIFIES = ("fff1", "fff2"), ("fff3", "fff4")
PIECE = 4


def frame(number: int, order: int, data: bytes = b"") -> bytes:
    """Return a frame."""
    start = bytes([4 + len(data), number, order]) + data
    return start + bytes([-sum(start) % 256])


def pieces(whole: bytes) -> list[bytes]:
    return [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]


class Pieces:
    """Joins what the characteristics of a device send."""

    def __init__(self, _uuids: Collection[str]) -> None:
        self._joined = b""

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        self._joined = b""
        for index, piece in enumerate(pieces(frame)):
            yield WRITES[index % 2], piece

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        assert uuid in NOTIFIES
        self._joined += piece
        if not self._joined or len(self._joined) < self._joined[0]:
            return
        whole, self._joined = self._joined, b""
        if sum(whole) % 256:
            raise DecodeError("offset 0: wrong sum")
        yield whole


def answers(request: bytes, whole: bytes) -> bool:
    """Return whether a frame has the number of the request."""
    return request[1:2] == whole[1:2]


channel = partial(Channel, WRITES, NOTIFIES, Pieces, answers=answers, answer_s=0.2, tries=3)


def control(made: Channel | None = None, silence_s: float | None = None) -> Characteristic:
    """Return the control point of the protocol."""
    channel_ = made or channel()
    uuid = channel_.writes[0]
    return Characteristic(uuid, Battery, decode_level, Use.CONTROL, silence_s, channel=channel_)


class Maker:
    """A link to a device of the maker, with answers that the test sets.

    Attributes:
        on_request: gets each whole request; what it returns is sent at once.
        written: the requests that arrived whole.
        pieces: every write: UUID, bytes, and whether a response was asked for.
        subscribed: the UUIDs, in order.
        properties: by UUID, how it may be written.
        acknowledges_after_s: how long a write takes after its effects.
    """

    found = None

    def __init__(self, on_request: Callable[[bytes], Iterable[bytes]] = lambda _: ()) -> None:
        self.on_request = on_request
        self.written: list[bytes] = []
        self.pieces: list[tuple[str, bytes, bool]] = []
        self.subscribed: list[str] = []
        self.properties = dict.fromkeys(WRITES, "write")
        self.characteristics = frozenset((*WRITES, *NOTIFIES))
        self.acknowledges_after_s = 0.0
        self._take: dict[str, Callable[[bytes], None]] = {}
        self._request = b""

    def can_write(self, uuid: str, *, response: bool = True) -> bool:
        how = self.properties.get(uuid, "")
        return ("write" if response else "write-without-response") in how.split()

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        self.subscribed.append(uuid)
        self._take[uuid] = on_value

    async def write(self, uuid: str, value: bytes, *, response: bool = True) -> None:
        self.pieces.append((uuid, value, response))
        self._request += value
        if len(self._request) >= self._request[0]:
            request, self._request = self._request, b""
            self.written.append(request)
            for whole in self.on_request(request):
                self.send(whole)
        await asyncio.sleep(self.acknowledges_after_s)

    def send(self, whole: bytes) -> None:
        """Send a frame in pieces, from one characteristic and the other."""
        for index, piece in enumerate(pieces(whole)):
            if (take := self._take.get(NOTIFIES[index % 2])) is not None:
                take(piece)
