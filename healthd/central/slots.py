"""Connection slots: how many links an adapter carries, and who is next when all are taken."""

import time
from collections.abc import Callable

# Longer than the longest usual interval between two advertisements, 10.24 s: who is not heard for
# so long although it is its turn is not here, and must not keep a slot from those who are.
CALL_S = 12.0


class Slots:
    """First come, first served, among those who are really there.

    A peripheral asks each time it is heard. Without a free slot it is noted in a queue and need
    not be heard any longer. When a slot is free the first in the queue is called: its next
    advertisement gets the slot. Nobody who only searches ever holds one.

    Who is urgent, being awake for seconds and linked for a moment, stands before those who are
    not, and the radio has somebody leave for it (``lacking``).
    """

    def __init__(self, number: int, now: Callable[[], float] = time.monotonic) -> None:
        """``number`` links at a time; ``now`` in seconds."""
        self.number = number
        self._now = now
        self._taken: set[str] = set()
        self._queue: dict[str, float | None] = {}
        self._urgent: set[str] = set()

    def ask(self, peripheral: str, *, urgent: bool = False) -> bool:
        """Whether the peripheral, heard just now, gets a slot; it has it until ``leave``."""
        called = self._called()
        if peripheral in called or len(called) < self.number - len(self._taken):
            self._queue.pop(peripheral, None)
            self._taken.add(peripheral)
            return True
        self._queue.setdefault(peripheral, None)
        if urgent:
            self._urgent.add(peripheral)
            # Behind those who are urgent as well; sorting keeps the order of equals.
            order = sorted(self._queue.items(), key=lambda one: one[0] not in self._urgent)
            self._queue = dict(order)
        return False

    def release(self, peripheral: str) -> None:
        """It neither wants nor has a slot any more."""
        self._urgent.discard(peripheral)
        self._taken.discard(peripheral)
        self._queue.pop(peripheral, None)

    def need_not_be_heard(self, peripheral: str) -> bool:
        """Whether it stands in the queue and is not called yet."""
        return peripheral in self._queue and peripheral not in self._called()

    def waits(self, peripheral: str) -> bool:
        """Whether it was heard and stands in the queue."""
        return peripheral in self._queue

    def lacking(self) -> int:
        """How many slots those in the queue lack who are urgent."""
        called = self._called()
        return sum(one in self._urgent and one not in called for one in self._queue)

    def _called(self) -> list[str]:
        """Those in the queue for whom there is a slot; who was called in vain is out of it."""
        now = self._now()
        for peripheral, since in list(self._queue.items()):
            if since is not None and now - since >= CALL_S:
                del self._queue[peripheral]
        called = list(self._queue)[: max(0, self.number - len(self._taken))]
        for peripheral in called:
            if self._queue[peripheral] is None:
                self._queue[peripheral] = now
        return called
