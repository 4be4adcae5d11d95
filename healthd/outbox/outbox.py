"""Write-around store and forward: memory first, disk for what the broker does not acknowledge.

A sample that is acknowledged within ``SPILL_AFTER_S`` never touches the disk. One that is not
(the broker is slow or away, or the daemon stops) is committed to the store, leaves the live path
and is delivered later as history. Written through, every sample is committed before it is sent.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from healthd.events import OutboxChange, OutboxEvent
from healthd.log import get_logger
from healthd.outbox.backlog import Backlog
from healthd.outbox.continuity import Ends, Notebook, Previous, begin_run, end_run, note_certain
from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.live import LivePath
from healthd.outbox.pending import entry, summarise
from healthd.outbox.schema import Depth, Lost
from healthd.outbox.taken import Settlement, read_records, settle_records
from healthd.runs import Run
from healthd.samples import Sample, Taken
from healthd.settings.model import OutboxSettings

STORE_NAME = "outbox.sqlite3"

# The promise: at most 2 s of unacknowledged samples live in memory alone. A sample that has just
# missed one tick waits for the next, and its commit takes time on a card: 1.25 + 0.5 + 0.25 s.
SPILL_AFTER_S = 1.25

# Often enough for the promise, in few transactions.
_TICK_S = 0.5

# Written through, a commit takes in what arrived in this time: 50 ms less the commit's own.
_GROUP_S = 0.03

# That many on the live path are an outage whatever their age: they are committed at once.
_PRESSURE = 2048

# On leaving: the samples; then what their commit itself gave rise to, such as an eviction's gap.
_LAST_COMMITS = 4


class Outbox:
    """The queue between the pipeline and the publisher. Use it as an async context manager.

    Attributes:
        before: the runs before that may have something untold, once the outbox is open.
        records: what was taken of devices' records, by peripheral, when the outbox was opened.
        live: what is in memory, on its way to the live topics.
        backlog: what is on disk, on its way to the history topics.
    """

    def __init__(
        self, run: Run, settings: OutboxSettings, folder: Path, notebook: Notebook
    ) -> None:
        """Prepare; entering opens the store in ``folder``."""
        self.before: list[Previous] = []
        self.records: dict[str, dict[Taken, bool]] = {}
        self._settlements: list[Settlement] = []
        self._work = asyncio.Event()
        self._disk = Disk(folder / STORE_NAME, settings.max_size, self._notice)
        self.live = LivePath(self._delivered_row, self._off_live_path)
        self.backlog = Backlog(self._disk, self.live.rows)
        self._run = run
        self._through = settings.write == "through"
        self._notebook = notebook
        self._log = get_logger(service="outbox")
        # The topics that the broker refuses, and whose they are.
        self._parked: dict[str, tuple[str, str]] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._evicted = 0
        self._began_ns = run.clock.now().wall_ns
        self._begun = False
        self._noted: Previous | None = None
        # The streams of which the store knows that they have a certain sample in this run.
        self._certain: set[tuple[str, str]] = set()

    async def __aenter__(self) -> Self:
        """Open the store, or begin without it while the disk fails.

        Raises:
            Fatal: its folder cannot be used, or another healthd uses it.
        """
        self._noted = self._notebook.read()
        self.before = [] if self._noted is None else [self._noted]
        await self._disk.open()
        with suppress(DiskFailing):
            self.before = await self._begin()
            self.records = await self._disk.call(read_records)
        self.backlog.look_again()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Commit what the broker has not acknowledged, and close the store."""
        self.give_back()
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
        try:
            for _ in range(_LAST_COMMITS):
                self.live.hurry()
                await self._tidy()
            ends = self.live.ends()
            await self._disk.call(lambda store: end_run(store, self._run.id, ends))
        except DiskFailing as error:
            self._log.error("samples lost with the disk", count=len(self.live), error=str(error))
        await self._disk.close()

    def put(self, sample: Sample) -> None:
        """Take responsibility for a sample. Never blocks: it runs in notification callbacks."""
        # What a device keeps can be asked for again: exactly once, if it and the note that it was
        # taken are committed together, before anybody else has it.
        safe = self._through or sample.record is not None
        waiting = self.live.put(sample, hold=safe and not self._disk.degraded)
        if safe or waiting >= _PRESSURE:
            self._work.set()

    def settle(self, peripheral: str, gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
        """Note what has changed of a device's records; see ``taken.Settlement``."""
        self._settlements.append(Settlement(peripheral, gone, whole))
        self._work.set()

    def give_back(self) -> None:
        """The connection is gone: nothing is with the broker any more."""
        self.live.give_back()
        self.backlog.release_all()

    def note_parked(self, stream: tuple[str, str], topic: str, reason: str | None) -> None:
        """Keep, and tell, that the broker refuses a topic; without a reason: that it takes it."""
        self.backlog.note_parked(topic, reason)
        if reason is None:
            self._parked.pop(topic, None)
            self._notice("unparked", topic)
        else:
            self._parked[topic] = stream
            self._notice("parked", f"{topic}: {reason}")

    async def stats(self) -> dict[str, Any]:
        """Counters for ``health``: what waits in memory and on disk, and since when."""
        depth = Depth({}, 0, None)
        with suppress(DiskFailing):
            depth = await self._disk.call(lambda store: store.depth())
        oldest_ns = depth.oldest_ns
        return {
            "state": "degraded" if self._disk.degraded else "ok",
            "in_memory": len(self.live),
            "on_disk": sum(depth.counts.values()),
            "payload_bytes": depth.payload_bytes,
            "age_s": 0 if oldest_ns is None else round((time.time_ns() - oldest_ns) / 1e9, 1),
            "evicted": self._evicted,
            "streams": {"/".join(stream): count for stream, count in depth.counts.items()},
            "parked": sorted(self._parked),
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
                if self._through or self.live.holds:
                    await asyncio.sleep(_GROUP_S)
            self._work.clear()
            # A task of its own: a stop must not cut a commit off from the bookkeeping after it.
            self._tidying = asyncio.create_task(self._tidy())
            await asyncio.shield(self._tidying)
            growing = growing and await self._disk.call(lambda store: store.grow())
            mark_healthy()

    async def _begin(self) -> list[Previous]:
        run, noted = self._run.id, self._noted
        before = await self._disk.call(lambda s: begin_run(s, run, self._began_ns, noted))
        self._begun = True
        return before

    async def _tidy(self) -> None:
        now_ns = time.monotonic_ns()
        # Under pressure age does not matter: everything that waits goes to disk.
        pressed = len(self.live) >= _PRESSURE
        limit_ns = now_ns if pressed else now_ns - int(SPILL_AFTER_S * 1e9)
        try:
            if not self._begun:
                await self._begin()
            await self._commit(limit_ns)
        except DiskFailing:
            self.live.let_go(limit_ns, disk_fails=True)
            raise
        if self.live.let_go(limit_ns, disk_fails=False):
            self.backlog.look_again()
        if settlements := tuple(self._settlements):
            # Behind the commit: what is settled was put before.
            await self._disk.call(lambda store: settle_records(store, settlements))
            del self._settlements[: len(settlements)]
        await self.backlog.tidy()
        ends = self.live.ends()
        self._notebook.note(self._run.id, self._began_ns, ends)
        await self._note_certain(ends)
        if self._disk.degraded:
            # Where nothing is left to write, nothing else would find out that the disk is back.
            await self._disk.call(lambda store: store.probe())

    async def _note_certain(self, ends: Ends) -> None:
        """Keep on disk, once a run, which streams need no word on earlier runs any more."""
        if news := {stream: ends[stream] for stream in ends.keys() - self._certain}:
            await self._disk.call(lambda store: note_certain(store, self._run.id, news))
            self._certain |= news.keys()

    async def _commit(self, limit_ns: int) -> None:
        if batch := self.live.to_commit(limit_ns):
            boot, payload = self._run.boot, self._run.payload
            entries = [entry(one.sample, boot, payload(one.sample)) for one in batch]
            spared = self.backlog.spared
            rows, lost = await self._disk.call(lambda s: (s.append(entries, spared), s.take_lost()))
            self.live.committed(batch, rows)
            self._report(lost)
        # Only now: some of it may just have been committed.
        dropped, self.live.dropped = self.live.dropped, []
        self._report(summarise(one.sample for one in dropped if one.row is None))

    def _delivered_row(self, row: int) -> None:
        self.backlog.forget(row)

    def _off_live_path(self) -> None:
        self._work.set()
        self.backlog.look_again()

    def _report(self, losses: Iterable[Lost]) -> None:
        for lost in losses:
            self._evicted += lost.count
            refused = (lost.peripheral, lost.stream) in self._parked.values()
            reason = "refused" if refused else "evicted"
            self._log.warning("samples lost", reason=reason, stream=lost.stream, count=lost.count)
            if lost.peripheral:
                self.put(self._run.event(lost.as_gap(reason)))

    def _notice(self, change: OutboxChange, detail: str) -> None:
        if change == "corrupt":
            self.live.forget_rows()
            self._certain.clear()
        self._log.warning("outbox", change=change, detail=detail)
        self.put(self._run.event(OutboxEvent(change=change, detail=detail)))
