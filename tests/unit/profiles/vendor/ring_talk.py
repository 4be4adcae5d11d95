"""Talks to a ring without a radio: its framing, dialogues and state, as a link uses them."""

from collections.abc import Iterator

from healthd.errors import DecodeError
from healthd.profiles.dialogue import Dialogue, NoAnswer, Request
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from healthd.profiles.vendor.o2ring import PROFILE
from healthd.simulator.vendor.o2ring import Ring

(CONTROL,) = PROFILE.characteristics
# More requests than any test needs: a dialogue that asks without end must not hang a test.
MOST_REQUESTS = 5000


class Talk:
    """One link to a ring.

    Attributes:
        samples: what was published, in order.
    """

    def __init__(self, ring: Ring, options: Options) -> None:
        channel = CONTROL.channel
        assert channel is not None
        self._channel = channel
        self._ring = ring
        self._framing = channel.framing(frozenset({*channel.writes, *channel.notifies}))
        self._reader = Reader(load(), options, "O2Ring 0001", ["o2ring"])
        self.samples: list[Timed] = []
        # The next request of each dialogue that is not over.
        self._asked: dict[int, bytes | Request] = {}

    def run(self, dialogue: Dialogue, requests: int = MOST_REQUESTS) -> int:
        """Carry on a dialogue until it ends, or has made this many requests; return how many.

        It can be carried on later.
        """
        asked = self._asked.pop(id(dialogue), None) or next(dialogue, None)
        for made in range(requests):
            if asked is None:
                return made
            try:
                if (answer := self._ask(asked)) is None:
                    asked = dialogue.throw(NoAnswer())
                else:
                    asked = dialogue.send(answer)
            except StopIteration:
                return made + 1
        if asked is not None:
            self._asked[id(dialogue)] = asked
        return requests

    def _ask(self, asked: bytes | Request) -> bytes | None:
        request = asked if isinstance(asked, Request) else Request(asked)
        for _ in range(request.tries or self._channel.tries):
            self._hear(request.data)
            pieces = [piece for _, piece in self._framing.cut(request.data)]
            assert max(map(len, pieces)) <= 20
            answer = None
            for frame in self._joined(self._ring.answer(b"".join(pieces))):
                self._hear(frame)
                if self._channel.answers(request.data, frame):
                    answer = frame
            if answer is not None:
                return answer
        return None

    def _joined(self, answer: bytes) -> Iterator[bytes]:
        for at in range(0, len(answer), 20):
            try:
                yield from self._framing.join(self._channel.notifies[0], answer[at : at + 20])
            except DecodeError:
                continue

    def _hear(self, frame: bytes) -> None:
        for timed in self._reader.take(CONTROL, frame, 0):
            if not timed.fact:
                self.samples.append(timed)
