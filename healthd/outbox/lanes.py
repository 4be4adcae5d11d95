"""Samples in memory, in one lane for each peripheral: they are served in turn.

A peripheral that sends much more than the others fills only its own lane, and theirs go on flowing.
Within a lane the order is kept.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from healthd.outbox.pending import Pending


class Lane:
    """What waits of one peripheral, together with the gateway's events about it.

    Attributes:
        queue: the oldest first.
        size: how much memory it takes, in bytes.
    """

    __slots__ = ("queue", "size")

    def __init__(self) -> None:
        """Start empty."""
        self.queue: deque[Pending] = deque()
        self.size = 0


class Lanes:
    """The lanes of all peripherals.

    Attributes:
        size: how much memory everything takes, in bytes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._count = 0
        # Kept when they are empty: there are as many as peripherals.
        self._lanes: dict[str, Lane] = {}
        # Those that are not empty; the first one is served next.
        self._turns: deque[Lane] = deque()

    def __len__(self) -> int:
        """Return how many samples and events wait."""
        return self._count

    def __iter__(self) -> Iterator[Pending]:
        """Yield everything, lane by lane."""
        for lane in self._lanes.values():
            yield from lane.queue

    def append(self, pending: Pending) -> None:
        """Add the newest of a peripheral."""
        if (lane := self._lanes.get(pending.owner)) is None:
            lane = self._lanes[pending.owner] = Lane()
        if not lane.queue:
            self._turns.append(lane)
        lane.queue.append(pending)
        # As in _grow, for the path of every sample.
        lane.size += pending.size
        self.size += pending.size
        self._count += 1

    def put_back(self, earlier: Sequence[Pending]) -> None:
        """Add what was taken, in its order, before what waits."""
        for pending in reversed(earlier):
            if (lane := self._lanes.get(pending.owner)) is None:
                lane = self._lanes[pending.owner] = Lane()
            if not lane.queue:
                self._turns.appendleft(lane)
            lane.queue.appendleft(pending)
            self._grow(lane, pending.size, 1)

    def pop(self) -> Pending:
        """Remove and return the oldest of the lane whose turn it is."""
        lane = self._turns.popleft()
        pending = lane.queue.popleft()
        lane.size -= pending.size
        self.size -= pending.size
        self._count -= 1
        if lane.queue:
            self._turns.append(lane)
        return pending

    def holds(self, owner: str) -> bool:
        """Return whether anything of this peripheral waits."""
        lane = self._lanes.get(owner)
        return lane is not None and bool(lane.queue)

    def firsts(self) -> Iterator[Pending]:
        """Yield the oldest of each lane."""
        for lane in self._turns:
            yield lane.queue[0]

    def sizes(self) -> dict[str, int]:
        """Return how much memory each lane takes, in bytes, by peripheral."""
        return {owner: lane.size for owner, lane in self._lanes.items() if lane.queue}

    def drop_oldest(self, owner: str) -> Pending | None:
        """Remove and return the oldest sample of a peripheral; None if it has none.

        Events are kept: one of them may be the one that reports a loss.
        """
        if (lane := self._lanes.get(owner)) is None:
            return None
        oldest = next((each for each in lane.queue if each.sample.peripheral), None)
        if oldest is not None:
            lane.queue.remove(oldest)
            self._grow(lane, -oldest.size, -1)
            if not lane.queue:
                self._turns.remove(lane)
        return oldest

    def take(self, wanted: Callable[[Pending], bool]) -> list[Pending]:
        """Remove and return what fulfils a condition, in the order of each lane."""
        taken = [pending for pending in self if wanted(pending)]
        if taken:
            gone = set(taken)
            for lane in self._lanes.values():
                left = deque(pending for pending in lane.queue if pending not in gone)
                if len(left) < len(lane.queue):
                    size = sum(pending.size for pending in left)
                    self._grow(lane, size - lane.size, len(left) - len(lane.queue))
                    lane.queue = left
            self._turns = deque(lane for lane in self._turns if lane.queue)
        return taken

    def _grow(self, lane: Lane, size: int, count: int) -> None:
        lane.size += size
        self.size += size
        self._count += count
