"""Publishes that the broker has not acknowledged yet."""

import asyncio
import time
from typing import NamedTuple, Protocol

Acknowledgement = asyncio.Future[None]
"""Resolved by the PUBACK: to None, or to ``PublishRefused``; cancelled with the connection."""


class Answer(Protocol):
    """What a PUBACK resolves: an ``Acknowledgement``, or what does without its turn of the loop."""

    def done(self) -> bool:
        """Return whether no one waits for the answer any more."""
        ...

    def set_result(self, result: None, /) -> None:
        """Handle that the broker has accepted the message."""
        ...

    def set_exception(self, error: Exception, /) -> None:
        """Handle that it refuses the message."""
        ...

    def cancel(self) -> object:
        """Handle that the connection has ended first."""
        ...


class _Unacked(NamedTuple):
    answer: Answer
    since: float
    can_wait: bool


class Unacked:
    """The outstanding publishes of one connection, oldest first.

    Attributes:
        urgent: how many of them have an answer that is to be read at once.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._by_id: dict[int, _Unacked] = {}
        self.urgent = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_id)

    def add(self, mid: int, answer: Answer, *, can_wait: bool) -> None:
        """Note that a message with this packet identifier was written now."""
        self._by_id[mid] = _Unacked(answer, time.monotonic(), can_wait)
        self.urgent += not can_wait

    def resolve(self, mid: int, error: Exception | None) -> None:
        """Resolve an answer, to an error if the broker refused the message."""
        if (unacked := self._by_id.pop(mid, None)) is None:
            return
        answer, _, can_wait = unacked
        self.urgent -= not can_wait
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    def cancel(self) -> None:
        """Cancel all answers: the connection is gone."""
        for unacked in self._by_id.values():
            unacked.answer.cancel()
        self._by_id.clear()
        self.urgent = 0

    def oldest_s(self) -> float:
        """Return how many seconds the oldest publish has been waiting; 0 if there is none."""
        for unacked in self._by_id.values():
            return time.monotonic() - unacked.since
        return 0.0
