"""Write-around store and forward: memory first, disk for what the broker does not acknowledge.

A sample that is acknowledged within ``SPILL_AFTER_S`` never touches the disk. One that is not
(the broker is slow or away, or the daemon stops) is committed to the store, leaves the live path
and is delivered later as history. Written through, every sample is committed before it is sent.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from healthd.events import OutboxChange, OutboxEvent
from healthd.log import get_logger
from healthd.outbox.backlog import Backlog
from healthd.outbox.continuity import End, Ends, Notebook, Previous, begin_run, end_run
from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.pending import Pending, entry, summarise
from healthd.outbox.schema import Lost
from healthd.runs import Run
from healthd.samples import Sample
from healthd.settings import OutboxSettings

STORE_NAME = "outbox.sqlite3"

# The promise: at most 2 s of unacknowledged samples live in memory alone.
SPILL_AFTER_S = 2.0

# A quarter of the promise: the oldest unsaved sample is committed in time, in few transactions.
_TICK_S = 0.5

# Written through, a commit takes in what arrived in this time: 50 ms less the commit's own.
_GROUP_S = 0.03

# That many on the live path are an outage whatever their age: they are committed at once.
_PRESSURE = 2048

# On leaving: the samples; then what their commit itself gave rise to, such as an eviction's gap.
_LAST_COMMITS = 2

# While the disk fails too, memory is the only place: a few megabytes of the newest samples.
_MEMORY_LIMIT = 8192


class Outbox:
    """The queue between the pipeline and the publisher. Use it as an async context manager.

    Attributes:
        previous: the run before, once the outbox is open; None on a first start.
        backlog: what is on disk.
    """

    def __init__(
        self, run: Run, settings: OutboxSettings, folder: Path, notebook: Notebook
    ) -> None:
        """Prepare; entering opens the store in ``folder``."""
        self.previous: Previous | None = None
        self._disk = Disk(folder / STORE_NAME, settings.max_size, self._notice)
        self.backlog = Backlog(self._disk, self._rows_on_live_path)
        self._run = run
        self._through = settings.write == "through"
        self._notebook = notebook
        self._log = get_logger(service="outbox")
        self._waiting: deque[Pending] = deque()
        # A dict for its order and its cheap removal: what the broker has and did not acknowledge.
        self._sent: dict[Pending, None] = {}
        self._uncommitted: list[Pending] = []
        self._refused: list[Pending] = []
        self._dropped: list[Sample] = []
        self._last: dict[tuple[str, str], Sample] = {}
        self._parked: set[tuple[str, str]] = set()
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._work = asyncio.Event()
        self._tidying: asyncio.Task[None] | None = None
        self._evicted = 0

    async def __aenter__(self) -> Self:
        """Open the store.

        Raises:
            Fatal: it cannot be opened and written, or another healthd uses it.
        """
        await self._disk.open()
        now_ns = self._run.clock.now().wall_ns
        with suppress(DiskFailing):
            previous = await self._disk.call(lambda s: begin_run(s, self._run.id, now_ns))
            if previous is not None and not previous.clean:
                previous = replace(previous, ends=self._notebook.read(previous.run))
            self.previous = previous
        self.backlog.look_again()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Commit what the broker has not acknowledged, and close the store."""
        self.give_back()
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
        try:
            for _ in range(_LAST_COMMITS):
                for pending in self._waiting:
                    pending.urgent = True
                await self._tidy()
            ends = self._ends()
            await self._disk.call(lambda store: end_run(store, self._run.id, ends))
        except DiskFailing as error:
            lost = len(self._waiting) + len(self._refused)
            self._log.error("samples lost with the disk", count=lost, error=str(error))
        await self._disk.close()

    def put(self, sample: Sample) -> None:
        """Take responsibility for a sample. Never blocks: it runs in notification callbacks."""
        pending = Pending(sample)
        self._last[sample.peripheral, sample.stream] = sample
        # Behind what is not committed yet, so that a stream keeps its order when the disk fails.
        if self._through and (self._uncommitted or not self._disk.degraded):
            self._uncommitted.append(pending)
            self._work.set()
            return
        self._waiting.append(pending)
        self._arrived.set()
        if len(self._waiting) >= _PRESSURE:
            self._work.set()
        if len(self._waiting) > _MEMORY_LIMIT:
            oldest = self._waiting.popleft()
            if oldest.row is None:
                self._dropped.append(oldest.sample)

    async def take(self) -> Pending:
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
            self.backlog.forget(pending.row)
        self._check_settled()

    def refuse(self, pending: Pending) -> None:
        """The broker will not have it live: keep it on disk, off the live path."""
        self._sent.pop(pending, None)
        pending.urgent = True
        self._refused.append(pending)
        self._work.set()

    def give_back(self) -> None:
        """The connection is gone: what was sent and not acknowledged waits again, in order."""
        for pending in reversed(self._sent):
            self._waiting.appendleft(pending)
        self._sent.clear()
        self._arrived.set()
        self.backlog.release_all()

    async def settled(self) -> None:
        """Wait until the broker has acknowledged every sample on the live path."""
        self._check_settled()
        await self._settled.wait()

    def note_parked(self, stream: tuple[str, str], topic: str, reason: str | None) -> None:
        """Keep, and tell, that the broker refuses a topic; without a reason: that it takes it."""
        self.backlog.note_parked(topic, reason)
        if reason is None:
            self._parked.discard(stream)
            self._notice("unparked", topic)
        else:
            self._parked.add(stream)
            self._notice("parked", f"{topic}: {reason}")

    async def stats(self) -> dict[str, Any]:
        """Counters for ``health``: what waits in memory and on disk, and since when."""
        streams = []
        with suppress(DiskFailing):
            streams = await self._disk.call(lambda store: store.stats())
        oldest_ns = min((stream.oldest_ns for stream in streams), default=None)
        return {
            "state": "degraded" if self._disk.degraded else "ok",
            "in_memory": len(self._waiting) + len(self._sent) + len(self._uncommitted),
            "on_disk": sum(stream.count for stream in streams),
            "payload_bytes": sum(stream.payload_bytes for stream in streams),
            "age_s": 0 if oldest_ns is None else round((time.time_ns() - oldest_ns) / 1e9, 1),
            "evicted": self._evicted,
            "parked": len(self._parked),
        }

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Move to disk what waits too long, and delete what was delivered. Ends only by raising.

        Raises:
            DiskFailing: the disk cannot be written; memory keeps the newest meanwhile.
        """
        growing = True
        while True:
            if not growing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_S):
                        await self._work.wait()
                if self._through:
                    await asyncio.sleep(_GROUP_S)
            self._work.clear()
            # A task of its own: a stop must not cut a commit off from the bookkeeping after it.
            self._tidying = asyncio.create_task(self._tidy())
            await asyncio.shield(self._tidying)
            growing = growing and await self._disk.call(lambda store: store.grow())
            mark_healthy()

    async def _tidy(self) -> None:
        now_ns = time.monotonic_ns()
        # Under pressure age does not matter: everything that waits goes to disk.
        pressed = len(self._waiting) >= _PRESSURE
        limit_ns = now_ns if pressed else now_ns - int(SPILL_AFTER_S * 1e9)
        committing, self._uncommitted = self._uncommitted, []
        try:
            await self._spill(limit_ns, committing)
        finally:
            # Sent only now; while the disk fails, from memory alone.
            self._waiting.extend(committing)
            self._arrived.set()
        self._waiting = deque(
            one
            for one in self._waiting
            if not one.acked and (one.row is None or not one.is_older_than(limit_ns))
        )
        self._check_settled()
        await self.backlog.tidy()
        self._notebook.note(self._run.id, self._ends())

    async def _spill(self, limit_ns: int, committing: list[Pending]) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, []
            self._report(summarise(dropped))
        on_path = (*self._refused, *self._sent, *self._waiting)
        unsaved = (one for one in on_path if one.row is None and not one.acked)
        old = [one for one in unsaved if one.is_older_than(limit_ns)]
        old = sorted((*old, *committing), key=lambda one: one.sample.stamp.mono_ns)
        if not old:
            return
        boot, payload = self._run.boot, self._run.payload
        entries = [entry(one.sample, boot, payload(one.sample)) for one in old]
        rows, lost = await self._disk.call(lambda s: (s.append(entries), s.take_lost()))
        for one, row in zip(old, rows, strict=True):
            one.row = row
            if one.acked:
                self.backlog.forget(row)
        self._refused = [one for one in self._refused if one.row is None]
        self._report(lost)
        self.backlog.look_again()

    def _ends(self) -> Ends:
        """Until where each stream is acknowledged or on disk, without a hole."""
        ends = {
            stream: End(sample.seq, sample.stamp.wall_ns)
            for stream, sample in self._last.items()
            if stream[0]
        }
        open_path = (*self._waiting, *self._uncommitted, *self._sent, *self._refused)
        for sample in (one.sample for one in open_path if one.row is None and not one.acked):
            stream = (sample.peripheral, sample.stream)
            if stream in ends and sample.seq <= ends[stream].seq:
                ends[stream] = End(sample.seq - 1, sample.stamp.wall_ns)
        return ends

    def _rows_on_live_path(self) -> list[int]:
        return [one.row for one in (*self._sent, *self._waiting) if one.row is not None]

    def _report(self, losses: Iterable[Lost]) -> None:
        for lost in losses:
            self._evicted += lost.count
            refused = (lost.peripheral, lost.stream) in self._parked
            reason = "refused" if refused else "evicted"
            self._log.warning("samples lost", reason=reason, stream=lost.stream, count=lost.count)
            if lost.peripheral:
                self.put(self._run.event(lost.as_gap(reason)))

    def _notice(self, change: OutboxChange, detail: str) -> None:
        self._log.warning("outbox", change=change, detail=detail)
        self.put(self._run.event(OutboxEvent(change=change, detail=detail)))

    def _check_settled(self) -> None:
        if self._waiting or self._uncommitted or self._sent or self._refused:
            self._settled.clear()
        else:
            self._settled.set()
