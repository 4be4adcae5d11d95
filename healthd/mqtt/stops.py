"""Requests to stop and release: those that are the same are carried out once, and all answered."""

from collections import OrderedDict
from typing import NamedTuple

from healthd.mqtt.arrivals import Message
from healthd.mqtt.replies import Reply
from healthd.mqtt.responses import Responses
from healthd.verbs import Control, uptime_s

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
        # By peripheral, when a stop came over the line that has not come over the other connection.
        self._overtook: dict[str, tuple[int, float]] = {}
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
        if ahead > 0 > step:
            self._overtook = {
                peripheral: (other, since_s)
                for peripheral, (other, since_s) in self._overtook.items()
                if other != key
            }
        return ahead * step < 0

    def note_overtaking(self, message: Message, peripheral: str) -> None:
        """Note a stop that came over the line, perhaps before what was sent before it."""
        self._overtook[peripheral] = hash(message), uptime_s()
        if len(self._overtook) > _MOST_REMEMBERED:
            del self._overtook[next(iter(self._overtook))]

    def is_overtaken(self, message: Message, peripheral: str) -> bool:
        """Return whether a message was sent before a stop of the peripheral that came first.

        Or whether that cannot be excluded: the broker has dropped the other copy of the stop.
        """
        _, since_s = self._overtook.get(peripheral, (0, float("-inf")))
        if message.sent_after_s is not None and message.sent_after_s > since_s:
            self._overtook.pop(peripheral, None)
            return False
        return peripheral in self._overtook

    def forget_arrivals(self) -> None:
        """Take each message for a new one from now on."""
        self._ahead.clear()
        self._overtook.clear()

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
        self._ahead.clear()
        for key in [key for key in self._in_progress if key[1] == peripheral]:
            del self._in_progress[key]

    def done(self, request: Control, joined: list[Waiting]) -> None:
        """Note that a request was carried out."""
        key = request.verb, request.peripheral
        if self._in_progress.get(key) is joined:
            del self._in_progress[key]
