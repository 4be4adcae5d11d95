"""The live path, in memory: from a sample's arrival until the broker or the store has it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from healthd.events import Gap
from healthd.outbox.continuity import End, Ends
from healthd.outbox.event_order import EventOrder
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stream
from healthd.samples import Sample

# If both broker and disk fail, samples are kept in memory only: the newest few megabytes.
MEMORY_LIMIT = 8192


class LivePath:
    """Samples on their way to the live topics, in the order of their arrival.

    Attributes:
        dropped: samples for which memory had no room; the caller that reports them empties it.
    """

    def __init__(
        self, on_delivered_row: Callable[[int], None], on_refused: Callable[[], None]
    ) -> None:
        """Prepare.

        Args:
            on_delivered_row: called with a row of the store whose sample was delivered live.
            on_refused: called when a refused sample leaves the live path for the disk.
        """
        self.dropped: list[Pending] = []
        self._on_delivered_row = on_delivered_row
        self._on_refused = on_refused
        self._waiting: deque[Pending] = deque()
        # Sent and not acknowledged. A dict, which keeps the order and is cheap to remove from.
        self._sent: dict[Pending, None] = {}
        # Written through: not to be sent before they are committed.
        self._held: list[Pending] = []
        self._refused: list[Pending] = []
        self._events = EventOrder()
        self._last: dict[Stream, Sample] = {}
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()

    def __len__(self) -> int:
        """Return how many samples are in memory."""
        sent = len(self._waiting) + len(self._sent)
        return sent + len(self._held) + len(self._refused) + len(self._events)

    def put(self, sample: Sample, *, hold: bool) -> int:
        """Add the newest sample, and return how many are waiting now.

        Args:
            sample: the sample.
            hold: whether it must be committed before it is sent.
        """
        pending = Pending(sample)
        self._last[sample.peripheral, sample.stream] = sample
        # A sample follows the held ones of its stream, so that the order is kept when holding ends.
        if hold or any(held.sample_stream == pending.sample_stream for held in self._held):
            self._held.append(pending)
            return len(self._held)
        self._let_wait(pending)
        if len(self._waiting) > MEMORY_LIMIT:
            # Never drop an event: it may be the one that reports a loss.
            oldest = next(waiting for waiting in self._waiting if waiting.sample.peripheral)
            self._waiting.remove(oldest)
            self.dropped.append(oldest)
        return len(self._waiting)

    def _let_wait(self, pending: Pending) -> None:
        """Let a sample wait for its turn to be sent, unless an event has to keep its order."""
        if not pending.sample.peripheral:
            if self._events.goes_to_disk(pending.sample_stream):
                self._events.note_on_disk(pending.sample_stream)
                self._send_to_disk(pending)
                return
            if not self._events.may_be_sent(pending):
                return
        self._waiting.append(pending)
        self._arrived.set()

    def _send_to_disk(self, pending: Pending) -> None:
        pending.urgent = True
        if pending.row is None:
            self._refused.append(pending)
        self._on_refused()

    def _divert(self, stream: Stream) -> None:
        """Send the events that follow one to the disk, because it goes there."""
        for pending in self._events.divert(stream):
            self._send_to_disk(pending)

    def note_stored_events(self, counts: Mapping[Stream, int]) -> None:
        """Note how many events earlier runs have left on the disk."""
        for stream, count in counts.items():
            self._events.note_on_disk(stream, count)

    def has_stored_events(self) -> bool:
        """Return whether events are on the disk; may be called from another thread."""
        return self._events.any_on_disk()

    def note_event_gone(self, stream: Stream, count: int = 1) -> None:
        """Note that stored events were delivered, or are lost."""
        self._events.note_gone(stream, count)

    @property
    def has_held(self) -> bool:
        """Whether any sample waits for its commit."""
        return bool(self._held)

    async def next_pending(self) -> Pending:
        """Return the oldest sample that was not sent yet; wait until there is one."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            pending = self._waiting.popleft()
            # A connection's last bytes may acknowledge it after it was put back into the queue.
            if not pending.acked:
                self._sent[pending] = None
                return pending

    def acknowledge(self, pending: Pending) -> None:
        """Forget a sample that the broker has; if it was also stored, have its row deleted."""
        pending.acked = True
        self._sent.pop(pending, None)
        if pending.row is not None:
            self._on_delivered_row(pending.row)
        if not pending.sample.peripheral and (
            following := self._events.delivered(pending.sample_stream)
        ):
            self._waiting.append(following)
            self._arrived.set()
        self._check_settled()

    def refuse(self, pending: Pending) -> None:
        """Move a sample that the broker refuses to the disk, off the live path."""
        self._sent.pop(pending, None)
        self._send_to_disk(pending)
        if not pending.sample.peripheral:
            self._divert(pending.sample_stream)
        self._check_settled()

    def requeue_sent(self) -> None:
        """Put what was sent and not acknowledged back into the queue, in order."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._arrived.set()

    async def settled(self) -> None:
        """Wait until the broker or the store has every sample."""
        self._check_settled()
        await self._settled.wait()

    def mark_waiting_urgent(self) -> None:
        """Treat all waiting samples as old."""
        for pending in (*self._waiting, *self._events):
            pending.urgent = True

    def to_commit(self, limit_ns: int) -> list[Pending]:
        """Return the samples that have to go to disk now, oldest first.

        Args:
            limit_ns: monotonic time; samples that arrived later may stay in memory only.
        """
        unsaved = [
            pending
            for pending in (*self._refused, *self._sent, *self._waiting, *self._events)
            if pending.row is None and not pending.acked
        ]
        unsaved.sort(key=lambda pending: pending.sample.arrived_ns)
        # Older samples of a refused sample's stream may still be unanswered. They may be refused
        # too and must be stored before it, so it waits for them, at most until they are old.
        blocked: set[Stream] = set()
        due: list[Pending] = []
        for pending in unsaved:
            stream = pending.sample_stream
            if pending.is_older_than(limit_ns) and stream not in blocked:
                due.append(pending)
            else:
                blocked.add(stream)
        return sorted((*due, *self._held), key=lambda pending: pending.sample.arrived_ns)

    def mark_committed(self, batch: Sequence[Pending], rows: Sequence[int]) -> None:
        """Note that the store has ``batch`` at ``rows``."""
        for pending, row in zip(batch, rows, strict=True):
            pending.row = row
            if pending.acked:
                self._on_delivered_row(row)
        self._refused = [pending for pending in self._refused if pending.row is None]

    def release_committed(self, limit_ns: int, *, disk_fails: bool) -> bool:
        """Queue held samples that are committed, and drop stored ones that are old.

        The store delivers the dropped ones later, as history.

        Returns:
            Whether any sample was dropped.

        Args:
            limit_ns: as in ``to_commit``.
            disk_fails: queue all held samples: they cannot be committed now.
        """
        ready = [held for held in self._held if disk_fails or held.row is not None]
        self._held = self._held[len(ready) :]
        before = len(self._waiting) + len(ready)
        for pending in ready:
            self._let_wait(pending)
        if disk_fails:
            self._take_events_back()
        waiting, self._waiting = self._waiting, deque[Pending]()
        for pending in waiting:
            if pending.acked:
                continue
            if pending.row is None or not pending.is_older_than(limit_ns):
                self._waiting.append(pending)
            elif not pending.sample.peripheral:
                self._divert(pending.sample_stream)
        self._arrived.set()
        self._check_settled()
        return len(self._waiting) < before

    def _take_events_back(self) -> None:
        """Send events live that cannot be stored: one of them may say that the disk fails."""
        refused, self._refused = self._refused, []
        for pending in refused:
            if pending.sample.peripheral or pending.acked:
                self._refused.append(pending)
                continue
            self._events.note_gone(pending.sample_stream)
            if self._events.may_be_sent(pending):
                self._waiting.append(pending)

    def forget_rows(self) -> None:
        """Have everything in memory committed again: the store has lost all its rows."""
        for pending in self._all():
            pending.row = None
        self._events.forget_disk(self._refused)

    def rows(self) -> list[int]:
        """Return the rows of samples that may still be delivered live."""
        live = (*self._sent, *self._waiting, *self._events)
        return [pending.row for pending in live if pending.row is not None]

    def unsaved_samples(self) -> int:
        """Return how many samples of peripherals are neither at the broker nor in the store."""
        return sum(
            pending.row is None and not pending.acked and bool(pending.sample.peripheral)
            for pending in self._all()
        )

    def ends(self) -> Ends:
        """Return each peripheral stream's last sample up to which all samples are certain.

        Left out are streams without a certain sample, and streams with an uncertain gap event about
        an earlier run: the next run may have to report that gap again.
        """
        ends = {
            stream: End(sample.seq, sample.stamp.wall_ns)
            for stream, sample in self._last.items()
            if stream[0]
        }
        for pending in self._all():
            if pending.row is not None or pending.acked:
                continue
            sample, gap = pending.sample, pending.sample.measurement
            stream = pending.sample_stream
            if stream in ends and sample.seq <= ends[stream].seq:
                ends[stream] = End(sample.seq - 1, sample.stamp.wall_ns)
            if isinstance(gap, Gap) and gap.run != sample.run:
                ends.pop((gap.peripheral, gap.stream), None)
        return {stream: end for stream, end in ends.items() if end.seq}

    def _all(self) -> tuple[Pending, ...]:
        return (*self._waiting, *self._held, *self._sent, *self._refused, *self._events)

    def _check_settled(self) -> None:
        if len(self):
            self._settled.clear()
        else:
            self._settled.set()
