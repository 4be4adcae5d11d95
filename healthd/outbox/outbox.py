"""Store and forward: memory first, disk only for what the broker does not acknowledge in time.

A sample that is acknowledged within ``SPILL_AFTER_S`` is never written to the disk. Any other (the
broker is slow or away, or the daemon stops) is committed to the store, leaves the live path and is
delivered later as history. With ``write = "through"`` every sample is committed before it is sent.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from healthd.events import OutboxChange, OutboxEvent
from healthd.log import get_logger
from healthd.outbox.alarm import Alarm
from healthd.outbox.backlog import Backlog
from healthd.outbox.continuity import Ends, PreviousRun, RunFile, begin_run, end_run, note_certain
from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.live import LivePath
from healthd.outbox.pending import entry
from healthd.outbox.schema import Depth, Lost, Stored, Stream
from healthd.outbox.taken import (
    RecordUpdate,
    forget_missing,
    read_records,
    update_records,
)
from healthd.runs import Run
from healthd.samples import Sample, Taken
from healthd.settings.model import OutboxSettings

STORE_NAME = "outbox.sqlite3"

# healthd promises that unacknowledged samples are in memory only for at most 2 s, and an SD card
# takes a quarter of a second to commit. Longer is better: each commit writes some pages, whatever
# its size.
SPILL_AFTER_S = 1.7

# How often delivered rows are deleted at most, and how soon it is noted where streams end: the run
# file promises half a second.
_TICK_S = 0.5

# A sample that is taken by then does what is due: that spares its service a wake-up.
_EARLY_S = 0.2

# How often the file is looked at if nothing is read or written: it may have been moved away.
_LOOK_S = 5.0

# When writing through, a sample is to be committed within this time of its arrival, if machine and
# disk are fast enough. Its commit waits for others, to share it with them: at most for _GROUP_S.
_THROUGH_S, _GROUP_S = 0.05, 0.02

# How much of the time of an earlier commit still counts with each one that follows.
_FORGETS = 0.8

# Changes of notes that wait for the disk: several complete transfers, or some MB.
_MOST_UPDATED_RECORDS = 16_384

_DAY_NS = 86_400 * 1_000_000_000

# At exit: one commit for the samples, the others for events that a commit causes, such as the gap
# event of an eviction.
_LAST_COMMITS = 4


class Outbox:
    """The queue between the pipeline and the publisher. Use it as an async context manager.

    Attributes:
        previous_runs: the earlier runs that may have unreported gaps, once the outbox is open.
        records: the device records taken before the outbox was opened, by peripheral.
        live: samples in memory, on their way to the live topics.
        backlog: samples on disk, on their way to the history topics.
        before_flush: called before it is decided which samples go to the disk, to note the
            acknowledgements that have arrived.
    """

    def __init__(self, run: Run, settings: OutboxSettings, folder: Path, run_file: RunFile) -> None:
        """Prepare; entering the context opens the store in ``folder``."""
        self.before_flush: Callable[[], None] = _nothing
        self.previous_runs: list[PreviousRun] = []
        self.records: dict[str, dict[Taken, bool]] = {}
        self._record_updates: list[RecordUpdate] = []
        self._updated_records = 0
        self._alarm = Alarm()
        path = folder / STORE_NAME
        self._disk = Disk(path, settings.max_size, self._notice, self._on_damage)
        self.live = LivePath(self._delivered_live, self._on_work, self._on_certain)
        self.backlog = Backlog(self._disk, self.live.rows, self.live.has_stored_events)
        self._run = run
        self._write_through = settings.write == "through"
        self._run_file = run_file
        self._log = get_logger(service="outbox")
        # The topics that the broker refuses, and the streams they belong to.
        self._parked: dict[str, Stream] = {}
        self._flushing: asyncio.Task[None] | None = None
        # How long a commit takes; then times on the monotonic clock, which is the event loop's.
        self._commit_s = 0.0
        self._next_tick = 0.0
        self._next_note = 0.0
        self._next_look = 0.0
        # Whether anything was stored for which room has to be kept from now on.
        self._stored = True
        self._lost_events = 0
        self._began_ns = run.clock.now().wall_ns
        self._begun = False
        self._run_in_file: PreviousRun | None = None
        # Streams for which the store has noted a certain sample in this run.
        self._certain: set[Stream] = set()
        self._has_new_streams = False

    async def __aenter__(self) -> Self:
        """Open the store, or begin without it while the disk fails.

        Raises:
            Fatal: its folder cannot be used, or another process uses it.
        """
        self._run_in_file = self._run_file.read()
        self.previous_runs = [] if self._run_in_file is None else [self._run_in_file]
        await self._disk.open()
        with suppress(DiskFailing):
            self.previous_runs = await self._begin()
            self.records = await self._disk.call(read_records)
            counts = (await self._disk.call(lambda store: store.depth())).counts
            self.live.note_stored_events(
                {stream: count for stream, count in counts.items() if not stream[0]}
            )
        self.backlog.begin()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Commit what the broker has not acknowledged, and close the store."""
        self.requeue_unacknowledged()
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        try:
            for _ in range(_LAST_COMMITS):
                self.live.mark_waiting_urgent()
                self._report_losses(all_of_them=True)
                await self._flush()
                await self._tick()
            ends = self.live.ends()
            await self._disk.call(lambda store: end_run(store, self._run.id, ends))
        except DiskFailing as error:
            # If nothing else is lost, only the note of a clean stop is missing.
            if lost := self.live.unsaved_samples() + self.live.losses.unreported_count:
                self._log.error("samples lost with the disk", count=lost, error=str(error))
        await self._disk.close()

    def put(self, sample: Sample) -> None:
        """Queue a sample. Never blocks: it is called in notification callbacks."""
        # A record can be fetched from the device again, so it arrives exactly once only if the
        # sample and the note that it was taken are committed together, before it is sent.
        safe = self._write_through or sample.record is not None
        self.live.put(sample, hold=safe and not self._disk.degraded)
        if safe or self.live.is_pressed:
            self._alarm.ring()
        elif self._alarm.is_waited_for:
            self._pass_by(sample)

    def _pass_by(self, sample: Sample) -> None:
        """Do in the turn of a sample what the service would have to wake up for.

        While samples flow, the service then sleeps: that spares two wake-ups a second.
        """
        now = time.monotonic()
        if now < self._next_note - _EARLY_S:
            self._alarm.advance(sample.arrived_ns / 1e9 + SPILL_AFTER_S)
            return
        if self.live.is_news and not self._has_chores:
            self._note_ends(self.live.ends())
        self._alarm.set(self._due())

    def update_records(
        self, peripheral: str, forgotten: Collection[Taken], complete: Mapping[Taken, bool]
    ) -> None:
        """Note a change of a device's records; see ``taken.RecordUpdate``."""
        update = RecordUpdate(peripheral, forgotten, complete)
        # While the disk fails, they add up. Without a note of completeness more is fetched again.
        if self._updated_records + update.size <= _MOST_UPDATED_RECORDS:
            self._updated_records += update.size
            self._record_updates.append(update)
            self._alarm.ring()

    async def forget_missing(self, present: Collection[str]) -> None:
        """Forget the device records of peripherals that left the settings long ago.

        Args:
            present: the peripherals in the settings.
        """
        now = self._run.clock.now()
        if now.clock == "synced":
            day = now.wall_ns // _DAY_NS
            with suppress(DiskFailing):
                await self._disk.call(lambda store: forget_missing(store, present, day))

    def requeue_unacknowledged(self) -> None:
        """Queue everything again that the broker has not acknowledged: the connection is gone."""
        self.live.requeue_sent()
        self.backlog.release_all()

    def note_parked(self, stream: Stream, topic: str, reason: str | None) -> None:
        """Store and report why the broker refuses a topic; None: it accepts the topic again."""
        self.backlog.note_parked(topic, reason)
        self._alarm.advance(self._next_tick)
        if reason is None:
            self._parked.pop(topic, None)
            self._notice("unparked", topic)
        else:
            self._parked[topic] = stream
            hint = "the broker has to allow it: `sudo healthd doctor` checks its access rules"
            self._notice("parked", f"{topic}: {reason}", hint=hint)

    async def stats(self) -> dict[str, Any]:
        """Return the counters for ``health``: what is in memory and on disk, and since when."""
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
            "evicted": self.live.losses.count + self._lost_events + self.live.lost_events,
            "streams": {"/".join(stream): count for stream, count in depth.counts.items()},
            "parked": sorted(self._parked),
        }

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Move to disk what waits too long, and delete what was delivered. Ends only by raising.

        Raises:
            DiskFailing: the disk cannot be written; memory keeps the newest samples meanwhile.
        """
        claiming = True
        self._next_tick = 0.0
        while True:
            if not claiming:
                await self._until_due()
            ticks = claiming or time.monotonic() >= self._next_tick
            # In its own task: a stop must not separate a commit from the bookkeeping that follows.
            self._flushing = asyncio.create_task(self._round(ticks=ticks), name="outbox flush")
            await asyncio.shield(self._flushing)
            if not ticks:
                continue
            if claiming:
                claiming = await self._disk.call(lambda store: store.claim_space())
            elif time.monotonic() >= self._next_look:
                await self._look()
            mark_healthy()

    async def _look(self) -> None:
        """Check some stored rows, or whether the file is still there."""
        more, lost = await self._disk.call(lambda s: (s.check_step(), s.pop_lost()))
        self._note_lost(lost)
        if more:
            # One step in each tick, so that it takes nothing from the samples that flow.
            self.backlog.wake()
        else:
            self._next_look = time.monotonic() + _LOOK_S

    @property
    def _has_chores(self) -> bool:
        """Whether the next tick has more to do than to note where streams end."""
        return (
            self._stored
            or self._has_new_streams
            or self._disk.degraded
            or self.backlog.has_outcomes
            or bool(self.live.losses)
        )

    def _due(self) -> float:
        """Return when there is something to do next, if nothing happens until then."""
        due = self._next_tick if self._has_chores else max(self._next_tick, self._next_look)
        if self.live.is_news:
            due = min(due, self._next_note)
        if (oldest_ns := self.live.oldest_ns()) is not None:
            due = min(due, oldest_ns / 1e9 + SPILL_AFTER_S)
        return due

    async def _until_due(self) -> None:
        """Wait until there is something to do."""
        await self._alarm.wait(self._due())
        if (arrived_ns := self.live.oldest_held_ns()) is not None:
            waited_s = (time.monotonic_ns() - arrived_ns) / 1e9
            # A slow disk gets it earlier, so that the deadline is kept.
            await asyncio.sleep(min(_THROUGH_S - self._commit_s, _GROUP_S) - waited_s)

    async def _round(self, *, ticks: bool) -> None:
        await self._flush()
        if ticks:
            await self._tick()
            self._next_tick = self._next_note = time.monotonic() + _TICK_S

    async def _begin(self) -> list[PreviousRun]:
        run, from_file = self._run.id, self._run_in_file
        previous, lost = await self._disk.call(
            lambda s: (begin_run(s, run, self._began_ns, from_file), s.pop_lost())
        )
        self._note_lost(lost)
        self._begun = True
        return previous

    async def _flush(self) -> None:
        """Commit what has to go to the disk now."""
        self.before_flush()
        self.live.relieve()
        # The samples of these records were put before; more may come during the commit.
        updates = tuple(self._record_updates)
        limit_ns = time.monotonic_ns() - int(SPILL_AFTER_S * 1e9)
        try:
            if not self._begun:
                await self._begin()
            await self._commit(limit_ns)
        except DiskFailing:
            self.live.note_failed()
            self.live.release_committed(limit_ns, disk_fails=True)
            raise
        if self.live.release_committed(limit_ns, disk_fails=False):
            self.backlog.wake()
        if updates:
            await self._disk.call(lambda store: update_records(store, updates))
            self._stored = True
            del self._record_updates[: len(updates)]
            self._updated_records = sum(update.size for update in self._record_updates)

    async def _tick(self) -> None:
        """Do what has time: delete what was delivered, note where streams end, and make room."""
        self._report_losses()
        await self.backlog.flush()
        ends = self.live.ends()
        self._note_ends(ends)
        await self._note_certain(ends)
        if self._stored:
            spare = self.backlog.rows_in_flight
            self._note_lost(await self._disk.call(lambda s: (s.keep_room(spare), s.pop_lost())[1]))
            self._stored = False
        if self._disk.degraded:
            # If nothing is left to write, only this write can find out that the disk is back.
            await self._disk.call(lambda store: store.probe())

    def _note_ends(self, ends: Ends) -> None:
        self.live.is_news = not self._run_file.write(self._run.id, self._began_ns, ends)
        self._next_note = time.monotonic() + _TICK_S
        self._has_new_streams = not ends.keys() <= self._certain

    async def _note_certain(self, ends: Ends) -> None:
        """Store, once per run, which streams have a certain sample in this run."""
        if news := {stream: ends[stream] for stream in ends.keys() - self._certain}:
            await self._disk.call(lambda store: note_certain(store, self._run.id, news))
            self._certain |= news.keys()
            self._has_new_streams = False
            self._stored = True

    async def _commit(self, limit_ns: int) -> None:
        if batch := self.live.to_commit(limit_ns):
            boot, payload = self._run.boot, self._payload
            entries = [entry(pending.sample, boot, payload(pending.sample)) for pending in batch]
            spare = self.backlog.rows_in_flight
            since = time.monotonic()
            rows, lost = await self._disk.call(lambda s: (s.append(entries, spare), s.pop_lost()))
            # The longest of the last few counts.
            self._commit_s = max(time.monotonic() - since, self._commit_s * _FORGETS)
            self.live.mark_committed(batch, rows)
            self._note_lost(lost)
            self._stored = True

    def _payload(self, sample: Sample) -> bytes:
        """Return the payload to store; empty if there is none, so that the store refuses it."""
        try:
            return self._run.payload(sample)
        except (OverflowError, TypeError, ValueError):
            # A time beyond the year 9999, or a number with more than 64 bits.
            return b""

    def acknowledge_stored(self, stored: Stored) -> None:
        """Note that the broker has a stored sample."""
        self.backlog.acknowledge(stored.row)
        self._alarm.advance(self._next_tick)
        if not stored.peripheral:
            self.live.note_event_gone((stored.peripheral, stored.stream))

    def _delivered_live(self, row: int) -> None:
        self.backlog.acknowledge(row)
        self.backlog.wake_if_held()
        self._alarm.advance(self._next_tick)

    def _on_certain(self) -> None:
        self._alarm.advance(self._next_note)

    def _on_work(self) -> None:
        self._alarm.ring()
        self.backlog.wake()

    def _note_lost(self, losses: Iterable[Lost]) -> None:
        """Note what was evicted."""
        for lost in losses:
            if lost.peripheral:
                self.live.losses.add(lost)
                continue
            self._log.warning("events lost", stream=lost.stream, count=lost.count)
            self._lost_events += lost.count
            self.live.note_event_gone(("", lost.stream), lost.count)

    def _report_losses(self, *, all_of_them: bool = False) -> None:
        """Report what was lost; see ``losses.Losses``."""
        for lost in self.live.losses.pop_due(self._run.id, all_of_them=all_of_them):
            refused = (lost.peripheral, lost.stream) in self._parked.values()
            reason = "refused" if refused else "evicted"
            self._log.warning("samples lost", reason=reason, stream=lost.stream, count=lost.count)
            self.put(self._run.event(lost.as_gap(reason)))

    def _on_damage(self, reason: str, lost: Lost) -> None:
        """Report samples that are lost with damaged rows, or that the store cannot hold."""
        self._log.warning("samples lost", reason=reason, stream=lost.stream, count=lost.count)
        if lost.peripheral:
            self.put(self._run.event(lost.as_gap(reason)))
        else:
            self.live.note_event_gone(("", lost.stream), lost.count)

    def _notice(self, change: OutboxChange, detail: str, **more: str) -> None:
        # Whatever it was, there may be something to check or to copy now.
        self._next_look = 0.0
        self._alarm.advance(self._next_tick)
        if change in ("corrupt", "other_version"):
            self.live.forget_rows()
            self._certain.clear()
        self._log.warning("outbox", change=change, detail=detail, **more)
        self.put(self._run.event(OutboxEvent(change=change, detail=detail)))


def _nothing() -> None:
    """No broker acknowledges anything."""
