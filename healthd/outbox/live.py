"""The live path, in memory: from a sample's arrival until the broker or the store has it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from healthd.events import Gap
from healthd.outbox.continuity import End, Ends
from healthd.outbox.pending import Pending
from healthd.samples import Sample

# While the disk fails too, memory is the only place: a few megabytes of the newest samples.
MEMORY_LIMIT = 8192


class LivePath:
    """Samples on their way to the live topics, in the order of their arrival.

    Attributes:
        dropped: what memory had no room for; who reports it empties it.
    """

    def __init__(
        self, on_delivered_row: Callable[[int], None], on_refused: Callable[[], None]
    ) -> None:
        """Prepare.

        Args:
            on_delivered_row: told which row of the store was delivered live after all.
            on_refused: told that something has to go, or is, on disk alone.
        """
        self.dropped: list[Pending] = []
        self._on_delivered_row = on_delivered_row
        self._on_refused = on_refused
        self._waiting: deque[Pending] = deque()
        # A dict for its order and its cheap removal: what the broker has and did not acknowledge.
        self._sent: dict[Pending, None] = {}
        # Written through: not to be sent before it is committed.
        self._held: list[Pending] = []
        self._refused: list[Pending] = []
        self._last: dict[tuple[str, str], Sample] = {}
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()

    def __len__(self) -> int:
        """How many samples are in memory."""
        return len(self._waiting) + len(self._sent) + len(self._held) + len(self._refused)

    def put(self, sample: Sample, *, hold: bool) -> int:
        """Add the newest sample; how many wait now.

        Args:
            sample: the sample.
            hold: it must be committed before it is sent.
        """
        pending = Pending(sample)
        self._last[sample.peripheral, sample.stream] = sample
        # Behind what is held already of its stream, which keeps its order when holding ends.
        if hold or any(_is_of(one, sample) for one in self._held):
            self._held.append(pending)
            return len(self._held)
        self._waiting.append(pending)
        self._arrived.set()
        if len(self._waiting) > MEMORY_LIMIT:
            # Not an event: it may be the one that names what was lost.
            oldest = next(one for one in self._waiting if one.sample.peripheral)
            self._waiting.remove(oldest)
            self.dropped.append(oldest)
        return len(self._waiting)

    @property
    def holds(self) -> bool:
        """Whether anything waits for its commit."""
        return bool(self._held)

    async def next_pending(self) -> Pending:
        """The oldest sample that is not with the broker yet; waits for one."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            pending = self._waiting.popleft()
            # An acknowledgement that came with the last bytes of a connection may follow it back.
            if not pending.acked:
                self._sent[pending] = None
                return pending

    def acknowledge(self, pending: Pending) -> None:
        """The broker has it: forget it, on disk too if it went there meanwhile."""
        pending.acked = True
        self._sent.pop(pending, None)
        if pending.row is not None:
            self._on_delivered_row(pending.row)
        self._check_settled()

    def refuse(self, pending: Pending) -> None:
        """The broker will not have it live: it goes to disk, off the live path."""
        self._sent.pop(pending, None)
        pending.urgent = True
        if pending.row is None:
            self._refused.append(pending)
        self._check_settled()
        self._on_refused()

    def give_back(self) -> None:
        """The connection is gone: what was sent and not acknowledged waits again, in order."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._arrived.set()

    async def settled(self) -> None:
        """Wait until the broker or the store has every sample."""
        self._check_settled()
        await self._settled.wait()

    def hurry(self) -> None:
        """Treat everything that waits as old."""
        for pending in self._waiting:
            pending.urgent = True

    def to_commit(self, limit_ns: int) -> list[Pending]:
        """What has to go to disk now, oldest first.

        Args:
            limit_ns: monotonic time; memory alone may keep only what arrived later.
        """
        unsaved = [
            one
            for one in (*self._refused, *self._sent, *self._waiting)
            if one.row is None and not one.acked
        ]
        unsaved.sort(key=lambda one: one.sample.arrived_ns)
        # A refusal that comes back while older ones of its stream are unanswered: those may go to
        # disk too, and before it. It waits for them, at most until they are old.
        ahead: set[tuple[str, str]] = set()
        due: list[Pending] = []
        for one in unsaved:
            stream = (one.sample.peripheral, one.sample.stream)
            if one.is_older_than(limit_ns) and stream not in ahead:
                due.append(one)
            else:
                ahead.add(stream)
        return sorted((*due, *self._held), key=lambda one: one.sample.arrived_ns)

    def committed(self, batch: Sequence[Pending], rows: Sequence[int]) -> None:
        """The store has ``batch`` at ``rows``."""
        for pending, row in zip(batch, rows, strict=True):
            pending.row = row
            if pending.acked:
                self._on_delivered_row(row)
        self._refused = [one for one in self._refused if one.row is None]

    def let_go(self, limit_ns: int, *, disk_fails: bool) -> bool:
        """Send what was held and is committed, and leave to the store what it has and what is old.

        Returns:
            Whether anything was left to the store.

        Args:
            limit_ns: as in ``to_commit``.
            disk_fails: send what is held all the same: nothing better can be done with it.
        """
        ready = [one for one in self._held if disk_fails or one.row is not None]
        self._held = self._held[len(ready) :]
        before = len(self._waiting) + len(ready)
        self._waiting = deque(
            one
            for one in (*self._waiting, *ready)
            if not one.acked and (one.row is None or not one.is_older_than(limit_ns))
        )
        self._arrived.set()
        self._check_settled()
        return len(self._waiting) < before

    def forget_rows(self) -> None:
        """The store has lost everything: what memory still holds is to be committed again."""
        for one in (*self._waiting, *self._held, *self._sent, *self._refused):
            one.row = None

    def rows(self) -> list[int]:
        """Rows of samples that may still be delivered live."""
        return [one.row for one in (*self._sent, *self._waiting) if one.row is not None]

    def ends(self) -> Ends:
        """Until where each peripheral's streams are acknowledged or on disk, without a hole.

        Streams without a certain sample are left out, and so are those of which it is not certain
        yet that the next run need not tell what an earlier run may lack.
        """
        ends = {
            stream: End(sample.seq, sample.stamp.wall_ns)
            for stream, sample in self._last.items()
            if stream[0]
        }
        for one in (*self._waiting, *self._held, *self._sent, *self._refused):
            if one.row is not None or one.acked:
                continue
            sample, gap = one.sample, one.sample.measurement
            stream = (sample.peripheral, sample.stream)
            if stream in ends and sample.seq <= ends[stream].seq:
                ends[stream] = End(sample.seq - 1, sample.stamp.wall_ns)
            if isinstance(gap, Gap) and gap.run != sample.run:
                ends.pop((gap.peripheral, gap.stream), None)
        return {stream: end for stream, end in ends.items() if end.seq}

    def _check_settled(self) -> None:
        if len(self):
            self._settled.clear()
        else:
            self._settled.set()


def _is_of(pending: Pending, sample: Sample) -> bool:
    held = pending.sample
    return (held.peripheral, held.stream) == (sample.peripheral, sample.stream)
