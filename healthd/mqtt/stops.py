"""Requests to stop and release: those that are the same are carried out once, and all answered."""

from collections import OrderedDict
from typing import NamedTuple

from healthd.mqtt.arrivals import Message
from healthd.mqtt.replies import Reply
from healthd.mqtt.responses import Responses
from healthd.verbs import Control

# Requests that wait for the same stop. A person presses a button a few times.
_MOST_JOINED = 64

# Messages that have arrived over one of the two connections so far.
_MOST_REMEMBERED = 256


class Waiting(NamedTuple):
    """A request that waits for a stop."""

    responses: Responses
    reply: Reply


class Stops:
    """The requests to stop and release that are in progress, and what came over which connection.

    Each of them arrives twice if there are two connections.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._in_progress: dict[tuple[str, str], list[Waiting]] = {}
        # How many more of the same messages came over the line of stops than over the other one.
        self._ahead: OrderedDict[int, int] = OrderedDict()

    def is_second(self, message: Message, *, over_line: bool) -> bool:
        """Return whether this message has arrived over the other connection already."""
        step = 1 if over_line else -1
        # Its hash, because a message may be large.
        key = hash(message)
        ahead = self._ahead.pop(key, 0)
        if ahead != -step:
            self._ahead[key] = ahead + step
            if len(self._ahead) > _MOST_REMEMBERED:
                self._ahead.popitem(last=False)
        return ahead * step < 0

    def forget_arrivals(self) -> None:
        """Take each message for a new one from now on."""
        self._ahead.clear()

    def join(self, request: Control, waiting: Waiting) -> list[Waiting] | None:
        """Let a request wait for the same one that is in progress.

        Returns:
            None if there is one; else the list of all that will wait for this one.
        """
        key = request.verb, request.peripheral
        joined = self._in_progress.get(key)
        if joined is None:
            self._in_progress[key] = joined = [waiting]
            return joined
        if len(joined) < _MOST_JOINED:
            joined.append(waiting)
        else:
            waiting.responses.count_dropped()
        return None

    def moves(self, peripheral: str) -> None:
        """Note a request that may move a machine: the next stop comes after it."""
        self.forget_arrivals()
        for key in [key for key in self._in_progress if key[1] == peripheral]:
            del self._in_progress[key]

    def done(self, request: Control, joined: list[Waiting]) -> None:
        """Note that a request was carried out."""
        key = request.verb, request.peripheral
        if self._in_progress.get(key) is joined:
            del self._in_progress[key]
