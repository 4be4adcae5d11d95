"""A link to a device of a made-up maker."""

import asyncio
from collections.abc import Callable, Iterable

from tests.support.maker import NOTIFIES, WRITES, pieces


class Maker:
    """A link to a device of the maker of ``tests/support/maker.py``; the test sets its answers.

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
        """Send a frame in pieces."""
        for uuid, piece in pieces(whole, NOTIFIES):
            if (take := self._take.get(uuid)) is not None:
                take(piece)
