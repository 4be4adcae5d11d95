"""Publishes that the broker has not acknowledged yet."""

import asyncio
import time

Acknowledgement = asyncio.Future[None]
"""Resolved by the PUBACK: to None, or to ``PublishRefused``; cancelled with the connection."""


class Unacked:
    """The outstanding publishes of one connection, oldest first."""

    def __init__(self) -> None:
        """Start with none."""
        self._by_id: dict[int, tuple[Acknowledgement, float]] = {}

    def add(self, mid: int, acknowledgement: Acknowledgement) -> None:
        """Note that a message with this packet identifier was written now."""
        self._by_id[mid] = (acknowledgement, time.monotonic())

    def resolve(self, mid: int, error: Exception | None) -> None:
        """Resolve an acknowledgement, to an error if the broker refused the message."""
        acknowledgement, _ = self._by_id.pop(mid, (None, 0.0))
        if acknowledgement is None or acknowledgement.done():
            return
        if error is not None:
            acknowledgement.set_exception(error)
        else:
            acknowledgement.set_result(None)

    def cancel(self) -> None:
        """Cancel all acknowledgements: the connection is gone."""
        for acknowledgement, _ in self._by_id.values():
            acknowledgement.cancel()
        self._by_id.clear()

    def oldest_s(self) -> float:
        """Return how many seconds the oldest publish has been waiting; 0 if there is none."""
        for _, since in self._by_id.values():
            return time.monotonic() - since
        return 0.0
