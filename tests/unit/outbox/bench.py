"""An outbox on real files, its service at a fast tick, and disks that fail."""

import asyncio
import resource
import sqlite3
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from healthd.host.clock import Clock
from healthd.outbox.continuity import RunFile
from healthd.outbox.disk import DiskFailing
from healthd.outbox.outbox import STORE_NAME, Outbox
from healthd.outbox.schema import Entry
from healthd.runs import Run
from healthd.samples import Measurement, Sample, Stamp
from healthd.settings.model import OutboxSettings

BOUND_S = 20.0

# The least that the settings allow.
QUOTA = 1_000_000

# Tests do not wait for samples to grow old: they are stamped as if they had.
OVERDUE_S = 2.1

# How soon a failing disk is tried again; the supervisor's own pace is tested elsewhere.
_RETRY_S = 0.02


class Beat(Measurement):
    """A measurement of the tests' own; ``filling`` gives it a size."""

    kind: ClassVar[str] = "beat"

    filling: str = ""


class Bench:
    """One gateway's folder, and the runs that use it one after the other.

    Attributes:
        folder: where the outbox lies.
        run: the run that makes the samples; ``next_run`` begins another one.
    """

    def __init__(self, folder: Path, *, runtime: Path | None = None) -> None:
        self.folder = folder
        self._runtime = runtime
        self.run = Run(Clock(folder / "no-timesyncd"), {"BOOT_ID": "boot"})

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.folder / STORE_NAME

    def next_run(self) -> None:
        self.run = Run(Clock(self.folder / "no-timesyncd"), {"BOOT_ID": "boot"})

    def outbox(self, **settings: Any) -> Outbox:
        chosen = OutboxSettings.model_validate({"max_size": QUOTA, **settings})
        return Outbox(self.run, chosen, self.folder, RunFile(self._runtime, "gateway"))

    def sample(
        self, age_s: float = 0.0, stream: str = "beat", peripheral: str = "strap", size: int = 0
    ) -> Sample:
        """The next sample of a stream, taken ``age_s`` ago."""
        age_ns = int(age_s * 1e9)
        stamp = Stamp(time.time_ns() - age_ns, time.monotonic_ns() - age_ns, "synced")
        return self.run.sample(peripheral, stream, Beat(filling="x" * size), stamp)

    def stored(self) -> list[tuple[str, int]]:
        """Run and number of each ``beat`` on disk, in order, as another process sees it."""
        query = "SELECT run, seq FROM pending WHERE stream = 'beat' ORDER BY row"
        return [(run, seq) for run, seq in look(self.path, query)]

    def stored_seqs(self) -> list[int]:
        """The numbers alone."""
        return [seq for _, seq in self.stored()]


class Service:
    """The outbox's service, started again after each failure of the disk; a context manager.

    Attributes:
        failures: what it was started again after.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.failures: list[DiskFailing] = []
        self._outbox = outbox
        self._rounds = 0
        self._changed = asyncio.Condition()
        self._told: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep())
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

    async def rounds(self) -> None:
        """Wait until a whole round of its work, begun after this call, has succeeded."""
        wanted = self._rounds + 2
        await self._until(lambda: self._rounds >= wanted)

    async def failed(self) -> None:
        """Wait until a whole round of its work, begun after this call, has failed."""
        wanted = len(self.failures) + 2
        await self._until(lambda: len(self.failures) >= wanted)

    async def first_failure(self) -> None:
        """Wait until it has failed at all, and no longer."""
        await self._until(lambda: bool(self.failures))

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(lambda: reached() or self._task.done())
        if self._task.done():
            self._task.result()  # raises what ended it

    async def _keep(self) -> None:
        while True:
            try:
                await self._outbox.run(self._mark_healthy)
            except DiskFailing as error:
                self.failures.append(error)
                await self._tell()
                await asyncio.sleep(_RETRY_S)

    def _mark_healthy(self) -> None:
        self._rounds += 1
        task = asyncio.create_task(self._tell())
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def checkpoint(path: Path) -> None:
    """Everything into the file proper, and nothing of it left in the log."""
    db = sqlite3.connect(path)
    try:
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
    finally:
        db.close()


def look(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What another process reads in the store."""
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
    """A sample as it goes to disk; its times follow from its number."""
    known: dict[str, Any] = {
        "wall_ns": 1_795_485_811_000_000_000 + seq,
        "mono_ns": seq,
        "clock": "synced",
        "boot": "boot",
        "payload": b"%d " % seq + b"x" * size,
    }
    return Entry(
        peripheral=peripheral, stream=stream, schema="beat/1", run=run, seq=seq, **(known | fields)
    )


@contextmanager
def failing_disk() -> Generator[None]:
    """Inside the block every write of this process to a file is an I/O error.

    The limit on the size of files, at nothing: the kernel itself refuses the writes.
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
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: str) -> None:
        self._mount("-o", f"remount,size={size}", self.folder)

    def make_read_only(self) -> None:
        self._mount("-o", "remount,ro", self.folder)

    def make_writable(self) -> None:
        self._mount("-o", "remount,rw", self.folder)

    def fill(self) -> None:
        """Leave no block free."""
        with suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def empty(self) -> None:
        """Free what ``fill`` took."""
        (self.folder / "ballast").unlink()

    @staticmethod
    def _mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


def kinds(notices: list[tuple[str, str]]) -> list[str]:
    """What befell the outbox, without the details."""
    return [change for change, _ in notices]
