"""The live path, in memory: from a sample's arrival until the broker or the store has it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from healthd.events import Gap
from healthd.outbox.continuity import End, Ends
from healthd.outbox.event_order import EventOrder
from healthd.outbox.lanes import Lanes
from healthd.outbox.losses import Losses
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stream
from healthd.samples import Sample

MEMORY_BYTES = 8_000_000
"""If both broker and disk fail, samples are kept in memory only: the newest ones, about 6,600."""

MOST_EVENTS = 2000
"""Events in memory, which are kept when samples are dropped: a few megabytes. As many wait only if
both broker and disk fail for days."""

# This much on the live path is an outage whatever its age: it is committed at once.
_PRESSURE_BYTES = 2_000_000


class LivePath:
    """Samples on their way to the live topics: of each peripheral in the order of their arrival.

    Attributes:
        losses: counts the samples for which memory had no room.
        lost_events: how many events there was no room for.
        is_news: whether more samples are certain than the last call of ``ends`` that counted has
            said; its caller clears it.
        on_arrival: called when there may be something to ``take``.
    """

    def __init__(
        self,
        on_delivered_row: Callable[[int], None],
        on_work: Callable[[], None],
        on_certain: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            on_delivered_row: called with a row of the store whose sample was delivered live.
            on_work: called when samples may have to leave the live path for the disk now.
            on_certain: called when ``is_news`` becomes true.
        """
        self.losses = Losses()
        self.lost_events = 0
        self.is_news = False
        self.on_arrival: Callable[[], None] = _nothing
        self._on_delivered_row = on_delivered_row
        self._on_work = on_work
        self._on_certain = on_certain
        self._waiting = Lanes()
        # Sent and not acknowledged. A dict, which keeps the order and is cheap to remove from.
        self._sent: dict[Pending, None] = {}
        # Written through: not to be sent before they are committed.
        self._held = Lanes()
        self._refused = Lanes()
        self._events = EventOrder()
        # What is being committed, and what of it was dropped meanwhile.
        self._batch: frozenset[Pending] = frozenset()
        self._dropped: list[Pending] = []
        self._last: dict[Stream, Sample] = {}
        self._run = ""
        self._settled = asyncio.Event()

    def __len__(self) -> int:
        """Return how many samples are in memory."""
        sent = len(self._waiting) + len(self._sent)
        return sent + len(self._held) + len(self._refused) + len(self._events)

    @property
    def size(self) -> int:
        """How much memory the samples take that are not sent, in bytes."""
        return self._waiting.size + self._held.size + self._refused.size

    @property
    def is_pressed(self) -> bool:
        """Whether so much waits that it goes to disk at once."""
        return self.size >= _PRESSURE_BYTES

    def put(self, sample: Sample, *, hold: bool) -> None:
        """Add the newest sample.

        Args:
            sample: the sample.
            hold: whether it must be committed before it is sent.
        """
        pending = Pending(sample)
        self._run = sample.run
        self._last[sample.peripheral, sample.stream] = sample
        # A sample follows the held ones, so that the order is kept when holding ends.
        if hold or (self._held and self._held.holds(pending.owner)):
            self._held.append(pending)
        else:
            self._let_wait(pending)
        while self.size > MEMORY_BYTES and self._drop():
            pass
        if len(self._events) > MOST_EVENTS:
            self._events.drop_oldest()
            self.lost_events += 1
        if self._waiting:
            self.on_arrival()

    def _drop(self) -> bool:
        """Drop the oldest sample of the peripheral that has most; return False if there is none."""
        places = (self._refused, self._waiting, self._held)
        sizes = Counter[str]()
        for place in places:
            sizes.update(place.sizes())
        for owner, _ in sizes.most_common():
            for place in places:
                if (dropped := place.drop_oldest(owner)) is not None:
                    if dropped in self._batch:
                        self._dropped.append(dropped)
                    elif dropped.row is None and not dropped.acked:
                        self.losses.add_sample(dropped.sample)
                    return True
        return False

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

    def _send_to_disk(self, pending: Pending) -> None:
        pending.urgent = True
        if pending.row is None:
            self._refused.append(pending)
        self._on_work()

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

    def _unsaved(self) -> Iterator[Pending]:
        """Yield what is in memory only, except for what is held."""
        for pending in (*self._refused, *self._sent, *self._waiting, *self._events):
            if pending.row is None and not pending.acked:
                yield pending

    def oldest_ns(self) -> int | None:
        """Return when the oldest sample arrived that leaves the live path once it is old.

        Either it is in memory only, without the held ones, or it is stored and waits to be sent. On
        the monotonic clock; None if there is none.
        """
        stored = (pending for pending in self._waiting if pending.row is not None)
        leaving = (*self._unsaved(), *stored)
        return min((pending.sample.arrived_ns for pending in leaving), default=None)

    def oldest_held_ns(self) -> int | None:
        """Return when the oldest sample arrived that waits for its commit; None if there is none.

        On the monotonic clock.
        """
        return min((lane.sample.arrived_ns for lane in self._held.firsts()), default=None)

    def take(self) -> Pending | None:
        """Return a sample to send, of each peripheral in turn; None if none waits."""
        while self._waiting:
            pending = self._waiting.pop()
            # A connection's last bytes may acknowledge it after it was put back into the queue.
            if not pending.acked:
                self._sent[pending] = None
                return pending
        return None

    def acknowledge(self, pending: Pending) -> None:
        """Forget a sample that the broker has; if it was also stored, have its row deleted."""
        pending.acked = True
        self._sent.pop(pending, None)
        if not self.is_news:
            self.is_news = True
            self._on_certain()
        if pending.row is not None:
            self._on_delivered_row(pending.row)
        if not pending.sample.peripheral and (
            following := self._events.delivered(pending.sample_stream)
        ):
            self._waiting.append(following)
            self.on_arrival()
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
        self._waiting.put_back(list(self._sent))
        self._sent.clear()
        self._on_work()
        self.on_arrival()

    async def settled(self) -> None:
        """Wait until the broker or the store has every sample."""
        self._check_settled()
        await self._settled.wait()

    def mark_waiting_urgent(self) -> None:
        """Treat all waiting samples as old."""
        for pending in (*self._waiting, *self._events):
            pending.urgent = True

    def relieve(self) -> None:
        """Under pressure, let the samples of who has more than the others go to disk now."""
        if not self.is_pressed:
            return
        sizes = self._waiting.sizes()
        share = sum(sizes.values()) / max(len(sizes), 1)
        most = {owner for owner, size in sizes.items() if size >= share}
        for pending in (*self._sent, *self._waiting):
            if pending.owner in most:
                pending.urgent = True

    def to_commit(self, limit_ns: int) -> list[Pending]:
        """Return the samples that have to go to disk now, oldest first.

        Call ``mark_committed`` or ``note_failed`` afterwards.

        Args:
            limit_ns: monotonic time; samples that arrived later may stay in memory only.
        """
        unsaved = list(self._unsaved())
        unsaved.sort(key=lambda pending: pending.sample.arrived_ns)
        if any(not each.urgent and each.is_older_than(limit_ns) for each in unsaved):
            # An outage: what is younger goes along, so that one commit replaces three. Each of them
            # writes some pages whatever its size: this halves what is written.
            limit_ns = unsaved[-1].sample.arrived_ns
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
        batch = sorted((*due, *self._held), key=lambda pending: pending.sample.arrived_ns)
        self._batch = frozenset(batch)
        return batch

    def mark_committed(self, batch: Sequence[Pending], rows: Sequence[int]) -> None:
        """Note that the store has ``batch`` at ``rows``."""
        for pending, row in zip(batch, rows, strict=True):
            pending.row = row
            if pending.acked:
                self._on_delivered_row(row)
        self._refused.take(lambda pending: pending.row is not None)
        self.is_news = True
        self._batch, self._dropped = frozenset(), []

    def note_failed(self) -> None:
        """Note that the batch was not committed: what was dropped meanwhile is lost."""
        dropped, self._dropped, self._batch = self._dropped, [], frozenset()
        for pending in dropped:
            if not pending.acked:
                self.losses.add_sample(pending.sample)

    def release_committed(self, limit_ns: int, *, disk_fails: bool) -> bool:
        """Queue held samples that are committed, and drop stored ones that are old.

        The store delivers the dropped ones later, as history.

        Returns:
            Whether any sample was dropped.

        Args:
            limit_ns: as in ``to_commit``.
            disk_fails: queue all held samples: they cannot be committed now.
        """
        ready = self._held.take(lambda held: disk_fails or held.row is not None)
        before = len(self._waiting) + len(ready)
        for pending in sorted(ready, key=lambda pending: pending.sample.arrived_ns):
            self._let_wait(pending)
        if disk_fails:
            self._take_events_back()
        for pending in self._waiting.take(
            lambda each: each.acked or (each.row is not None and each.is_older_than(limit_ns))
        ):
            if not pending.acked and not pending.sample.peripheral:
                self._divert(pending.sample_stream)
        is_left = len(self._waiting) < before
        self._check_settled()
        self.on_arrival()
        return is_left

    def _take_events_back(self) -> None:
        """Send events live that cannot be stored: one of them may say that the disk fails."""
        for pending in self._refused.take(lambda each: not each.sample.peripheral):
            if pending.acked:
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
        uncertain = (p for p in (*self._all(), *self._dropped) if p.row is None and not p.acked)
        for pending in uncertain:
            sample, gap = pending.sample, pending.sample.measurement
            _end_before(ends, pending.sample_stream, sample.seq, sample.stamp.wall_ns)
            if not isinstance(gap, Gap):
                continue
            stream = (gap.peripheral, gap.stream)
            if gap.run != sample.run:
                ends.pop(stream, None)
            elif gap.first_seq is not None:
                _end_before(ends, stream, gap.first_seq, sample.stamp.wall_ns)
        for lost in self.losses.unreported(self._run):
            _end_before(ends, (lost.peripheral, lost.stream), lost.first_seq, lost.first_ns)
        return {stream: end for stream, end in ends.items() if end.seq}

    def _all(self) -> tuple[Pending, ...]:
        return (*self._waiting, *self._held, *self._sent, *self._refused, *self._events)

    def _check_settled(self) -> None:
        # The first is the usual answer, and costs nothing.
        if self._sent or len(self):
            self._settled.clear()
        else:
            self._settled.set()


def _nothing() -> None:
    """No one sends."""


def _end_before(ends: Ends, stream: Stream, seq: int, wall_ns: int) -> None:
    """Note that the sample with this number is not certain, nor any later one of its stream."""
    if stream in ends and seq <= ends[stream].seq:
        ends[stream] = End(seq - 1, wall_ns)
