"""Connection slots: how many links an adapter supports, and which peripheral gets the next one."""

import time
from collections.abc import Callable

# Longer than the longest usual advertising interval, 10.24 s. A peripheral that is not heard for
# this time when it is called is not in range, and must not keep the slot from the others.
CALL_S = 12.0


class Slots:
    """A queue for connection slots: first come, first served, among peripherals in range.

    A peripheral requests a slot each time it is heard. If none is free it joins the queue, and
    does not have to be heard until it is called. When a slot becomes free, the first in the queue
    is called: its next advertisement gets the slot. A search alone never occupies a slot.

    Urgent peripherals, which are awake for seconds and linked for a moment, go before all others,
    and the radio ends other links for them (see ``urgent_waiting``).
    """

    def __init__(self, number: int, now: Callable[[], float] | None = None) -> None:
        """``number``: how many links at a time; ``now`` in seconds."""
        self.number = number
        self._now = now or time.monotonic
        self._taken: set[str] = set()
        self._queue: dict[str, float | None] = {}
        self._urgent: set[str] = set()

    def request(self, peripheral: str, *, urgent: bool = False) -> bool:
        """Request a slot for a peripheral heard just now; if True, it has it until ``release``."""
        called = self._called()
        if peripheral in called or len(called) < self.number - len(self._taken):
            self._queue.pop(peripheral, None)
            self._taken.add(peripheral)
            return True
        self._queue.setdefault(peripheral, None)
        if urgent:
            self._urgent.add(peripheral)
            # After the other urgent ones: sorting is stable.
            order = sorted(self._queue.items(), key=lambda item: item[0] not in self._urgent)
            self._queue = dict(order)
        return False

    def release(self, peripheral: str) -> None:
        """Free the peripheral's slot, or its place in the queue."""
        self._urgent.discard(peripheral)
        self._taken.discard(peripheral)
        self._queue.pop(peripheral, None)

    def must_wait(self, peripheral: str) -> bool:
        """Whether the peripheral is in the queue and has not been called yet."""
        return peripheral in self._queue and peripheral not in self._called()

    def is_queued(self, peripheral: str) -> bool:
        """Whether the peripheral was heard and is in the queue."""
        return peripheral in self._queue

    def urgent_waiting(self) -> int:
        """Return how many urgent peripherals are in the queue without a slot for them."""
        called = self._called()
        return sum(
            peripheral in self._urgent and peripheral not in called for peripheral in self._queue
        )

    def _called(self) -> list[str]:
        """Return those in the queue that have a slot waiting; drop those that did not answer."""
        now = self._now()
        for peripheral, since in list(self._queue.items()):
            if since is not None and now - since >= CALL_S:
                del self._queue[peripheral]
        called = list(self._queue)[: max(0, self.number - len(self._taken))]
        for peripheral in called:
            if self._queue[peripheral] is None:
                self._queue[peripheral] = now
        return called
