"""Helpers for tests of the outbox: runs on real files, a service with fast ticks, failing disks."""

import asyncio
import resource
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import orjson

from healthd.host.clock import Clock
from healthd.outbox.continuity import RunFile
from healthd.outbox.disk import DiskFailing
from healthd.outbox.outbox import STORE_NAME, Outbox
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Entry, Stored
from healthd.outbox.store import Store
from healthd.runs import Run
from healthd.samples import ClockState, Measurement, Sample, Stamp
from healthd.settings.model import OutboxSettings
from tests.support.live_path import next_pending

# How long a test waits for what must happen, even on a busy machine.
BOUND_S = 20.0

# The smallest quota that the settings allow.
QUOTA = 1_000_000

# What the store evicts at once when it is full.
EVICTED_AT_ONCE = 256

# More rows than any test stores.
ALL = 1_000_000

# The conftest sets the outbox's SPILL_AFTER_S to this, so that no sample grows old by itself, even
# on a busy machine. Tests stamp samples as old instead of waiting.
SPILL_AFTER_S = 60.0
OVERDUE_S = SPILL_AFTER_S + 1
YOUNG_S = SPILL_AFTER_S / 5

# How soon a failing disk is tried again. Tests of the supervisor cover the real backoff.
_RETRY_S = 0.02

T = TypeVar("T")


class Beat(Measurement):
    """A measurement for tests; ``filling`` gives it a size."""

    kind: ClassVar[str] = "beat"

    filling: str = ""


class Bench:
    """The folder of one gateway, and the runs that use it one after the other.

    Attributes:
        folder: the folder of the outbox.
        run: the run that makes the samples; ``next_run`` begins another.
    """

    def __init__(self, folder: Path, *, runtime: Path | None = None) -> None:
        self.folder = folder
        self._runtime = runtime
        self.run = Run(Clock(folder / "no-timesyncd"), {"BOOT_ID": "boot"})

    @property
    def path(self) -> Path:
        """The file of the store."""
        return self.folder / STORE_NAME

    def next_run(self) -> None:
        """Begin another run."""
        self.run = Run(Clock(self.folder / "no-timesyncd"), {"BOOT_ID": "boot"})

    def outbox(self, **settings: Any) -> Outbox:
        """Return an outbox of the current run."""
        chosen = OutboxSettings.model_validate({"max_size": QUOTA, **settings})
        return Outbox(self.run, chosen, self.folder, RunFile(self._runtime, "gateway"))

    def noted_seq(self) -> int:
        """Return up to which sample of the stream ``beat`` the run file says that it is certain."""
        noted = RunFile(self._runtime, "gateway").read()
        assert noted is not None, "it is written by then"
        return noted.ends["strap", "beat"].seq

    def sample(
        self,
        age_s: float = 0.0,
        stream: str = "beat",
        peripheral: str = "strap",
        size: int = 0,
        clock: ClockState = "synced",
    ) -> Sample:
        """Return the next sample of a stream, taken ``age_s`` ago."""
        age_ns = int(age_s * 1e9)
        stamp = Stamp(time.time_ns() - age_ns, time.monotonic_ns() - age_ns, clock)
        return self.run.sample(peripheral, stream, Beat(filling="x" * size), stamp)

    def stored(self) -> list[tuple[str, int]]:
        """Return run and number of each ``beat`` on disk, in order, as other processes see them."""
        query = "SELECT run, seq FROM pending WHERE stream = 'beat' ORDER BY row"
        return [(run, seq) for run, seq in select(self.path, query)]

    def stored_seqs(self) -> list[int]:
        """Return the numbers of all ``beat`` samples on disk, in order."""
        return [seq for _, seq in self.stored()]


class Service:
    """Runs the outbox's service, and restarts it after each disk failure; a context manager.

    Attributes:
        failures: the failures after which it was restarted.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.failures: list[DiskFailing] = []
        self._outbox = outbox
        self._rounds = 0
        self._changed = asyncio.Condition()
        self._notifications: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="outbox service")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def rounds_done(self) -> int:
        """How many whole rounds have succeeded."""
        return self._rounds

    async def rounds(self) -> None:
        """Wait until a whole round of its work that begins after this call has succeeded."""
        wanted = self._rounds + 2
        await self._until(lambda: self._rounds >= wanted)

    async def failed(self) -> None:
        """Wait until a whole round of its work that begins after this call has failed."""
        wanted = len(self.failures) + 2
        await self._until(lambda: len(self.failures) >= wanted)

    async def first_failure(self) -> None:
        """Wait until it has failed once."""
        await self._until(lambda: bool(self.failures))

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(lambda: reached() or self._task.done())
        if self._task.done():
            self._task.result()  # raises the error that ended it

    async def _run(self) -> None:
        while True:
            try:
                await self._outbox.run(self._mark_healthy)
            except DiskFailing as error:
                self.failures.append(error)
                await self._notify()
                await asyncio.sleep(_RETRY_S)

    def _mark_healthy(self) -> None:
        self._rounds += 1
        task = asyncio.create_task(self._notify(), name="outbox service round")
        self._notifications.add(task)
        task.add_done_callback(self._notifications.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def soon(awaitable: Awaitable[T]) -> T:
    """Await what must happen, within a generous time."""
    async with asyncio.timeout(BOUND_S):
        return await awaitable


async def run_ready_tasks() -> None:
    """Let every task of the event loop run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


async def next_live(outbox: Outbox, count: int) -> list[Pending]:
    """Take this many samples from the live path, as the publisher does to send them."""
    return [await soon(next_pending(outbox.live)) for _ in range(count)]


async def next_beats(outbox: Outbox, count: int) -> list[Pending]:
    """Take this many samples of peripherals; events between them are taken but not returned."""
    found: list[Pending] = []
    while len(found) < count:
        pending = await soon(next_pending(outbox.live))
        if pending.sample.peripheral:
            found.append(pending)
    return found


def seqs(pending: Iterable[Pending]) -> list[int]:
    """Return the numbers of samples."""
    return [each.sample.seq for each in pending]


async def next_history(outbox: Outbox, *, limit: int = ALL) -> list[Stored]:
    """Take the next batch of the backlog, as the publisher does to send it."""
    return await soon(outbox.backlog.next_batch(limit, tuple))


async def waiting_samples(outbox: Outbox) -> list[Sample]:
    """Take and return all samples that wait on the live path; acknowledge the events."""
    found: list[Sample] = []
    taken = 0
    while (await outbox.stats())["in_memory"] > taken:
        pending = await soon(next_pending(outbox.live))
        found.append(pending.sample)
        if pending.sample.peripheral:
            taken += 1
        else:
            # The next event of its kind is sent once this one is acknowledged.
            outbox.live.acknowledge(pending)
    return found


async def reported_gaps(outbox: Outbox) -> list[dict[str, Any]]:
    """Return the gap events that wait on the live path."""
    samples = await waiting_samples(outbox)
    return [sample.measurement.fields() for sample in samples if sample.stream == "event/gap"]


async def reported_changes(outbox: Outbox) -> list[str]:
    """Return the changes of the outbox's state whose events wait on the live path."""
    samples = await waiting_samples(outbox)
    return [
        sample.measurement.fields()["change"]
        for sample in samples
        if sample.stream == "event/outbox"
    ]


def stored_gaps(path: Path) -> list[dict[str, Any]]:
    """Return the gap events on disk."""
    events = select(path, "SELECT payload FROM pending WHERE stream = 'event/gap' ORDER BY row")
    return [orjson.loads(payload) for (payload,) in events]


def lost_seqs(gaps: Iterable[dict[str, Any]]) -> list[int]:
    """Return the numbers of all samples that these gap events name."""
    return [seq for gap in gaps for seq in range(gap["first_seq"], gap["last_seq"] + 1)]


def filled(path: Path, count: int, max_bytes: int = QUOTA) -> Store:
    """Return a new store with ``count`` samples, numbered from 1."""
    store = Store(path, max_bytes)
    store.append(entry(seq) for seq in range(1, count + 1))
    return store


def seqs_in(store: Store) -> list[int]:
    """Return the numbers of all samples in the store, in order."""
    return [stored.seq for stored in store.oldest(ALL)]


def checkpoint(path: Path) -> None:
    """Move everything from the log into the database file."""
    db = sqlite3.connect(path)
    try:
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
    finally:
        db.close()


def used_bytes(path: Path) -> int:
    """Return where the part of a new database file ends that is in use; free pages follow.

    Bytes 28 to 31 of the file are its number of pages, 36 to 39 that of the free ones.
    """
    with path.open("rb") as opened:
        header = opened.read(40)
    pages, free = int.from_bytes(header[28:32], "big"), int.from_bytes(header[36:40], "big")
    return (pages - free) * 4096


def garble_header(path: Path) -> None:
    """Overwrite the beginning of the database file."""
    with path.open("r+b") as file:
        file.write(b"no database here" * 8)


def select(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what another process reads in the store."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def entry(
    seq: int,
    *,
    peripheral: str = "strap",
    stream: str = "beat",
    run: str = "run",
    size: int = 200,
    **fields: Any,
) -> Entry:
    """Return a sample as it is written to disk; its times follow from its number."""
    defaults: dict[str, Any] = {
        "wall_ns": 1_795_485_811_000_000_000 + seq,
        "mono_ns": seq,
        "clock": "synced",
        "boot": "boot",
        "payload": b'{"id":"%s-%d","seq":%d,"filling":"%s"}'
        % (run.encode(), seq, seq, b"x" * size),
    }
    return Entry(
        peripheral=peripheral,
        stream=stream,
        schema="beat/1",
        run=run,
        seq=seq,
        **(defaults | fields),
    )


@contextmanager
def failing_disk() -> Generator[None]:
    """Make every write of this process to a file an I/O error inside the block.

    The limit on the size of files is set to 0, so the kernel itself refuses the writes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SmallDisk:
    """A file system of a few megabytes.

    Attributes:
        folder: its mount point.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: str) -> None:
        """Change its size, such as ``16m``."""
        self._mount("-o", f"remount,size={size}", self.folder)

    def make_read_only(self) -> None:
        """Refuse writes from now on."""
        self._mount("-o", "remount,ro", self.folder)

    def make_writable(self) -> None:
        """Accept writes again."""
        self._mount("-o", "remount,rw", self.folder)

    def fill(self) -> None:
        """Use up every free block."""
        with suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def empty(self) -> None:
        """Free the blocks that ``fill`` used."""
        (self.folder / "ballast").unlink()

    @staticmethod
    def _mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


def changes(notices: list[tuple[str, str]]) -> list[str]:
    """Return the reported changes without their details."""
    return [change for change, _ in notices]
