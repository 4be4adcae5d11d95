"""Where streams ended in earlier runs, so that this run can report what is missing in between.

A sample is certain once the broker has acknowledged it or the store has committed it.
"""

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from healthd.host.atomic import replace_file
from healthd.host.seal import read_sealed, seal
from healthd.log import get_logger
from healthd.outbox.schema import Stream, storable_ns
from healthd.outbox.store import Store

# Keep this many of the oldest runs and of the newest. If a gateway crashes at every start while a
# strap is absent, the oldest hold where the strap's streams ended, and the newest hold what was
# measured since. The runs in between add nothing.
_RUNS_KEPT = 8


# The content grows in steps, so that most of the time its length stays the same.
_STEP_BYTES = 256

# Every machine's pages of memory have at least this size.
_PAGE_BYTES = 4096

# An event names the first few streams: a gateway has a hundred.
_ENDS_NAMED = 16


class End(NamedTuple):
    """The last certain sample of a stream: all samples before it are certain as well.

    Attributes:
        seq: its number.
        wall_ns: when it was taken, or when the uncertain sample after it was taken; Unix time.
    """

    seq: int
    wall_ns: int


Ends = dict[Stream, End]


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """A run before this one.

    Attributes:
        run: its id.
        clean: whether it stopped cleanly.
        started_ns: when it began; Unix time.
        ends: where its certain samples end. After an unclean stop this is what was noted shortly
            before it; after a power cut, the first certain sample of each stream.
    """

    run: str
    clean: bool
    started_ns: int
    ends: Ends


class RunFile:
    """A file in memory-backed storage that says where the streams of the current run are certain.

    Its folder lasts as long as the boot (systemd's RuntimeDirectory). So a steady state writes
    nothing to the disk, and the next run still knows where streams ended after a kill -9.
    """

    def __init__(self, folder: Path | None, gateway: str) -> None:
        """Use one file in ``folder`` for each gateway; without a folder, write nothing."""
        self._file = None if folder is None else folder / f"healthd-{gateway}.json"
        self._written = b""
        self._length = 0

    def write(self, run: str, started_ns: int, ends: Ends) -> bool:
        """Replace the content; return False if that failed, and has to be tried again soon."""
        if self._file is None:
            return True
        rows = [[*stream, end.seq, storable_ns(end.wall_ns)] for stream, end in ends.items()]
        content = orjson.dumps({"run": run, "started_ns": started_ns, "ends": rows})
        if content == self._written:
            return True
        # JSON readers ignore the blanks.
        sealed = seal(content + b" " * (-len(content) % _STEP_BYTES))
        try:
            if len(sealed) != self._length or not _overwrite(self._file, sealed):
                replace_file(self._file, sealed)
        except OSError:
            return False
        self._written, self._length = content, len(sealed)
        return True

    def read(self) -> PreviousRun | None:
        """Return the run that wrote the file last, as not cleanly ended; None if there is none."""
        if self._file is None:
            return None
        try:
            content = orjson.loads(read_sealed(self._file))
            ends = {(_name(row[0]), _name(row[1])): _end(*row[2:]) for row in content["ends"]}
            run, started_ns = _name(content["run"]), _number(content["started_ns"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            log = get_logger(service="outbox")
            log.warning("run file not readable", file=str(self._file), error=str(error))
            return None
        return PreviousRun(run, False, started_ns, ends)


def _overwrite(file: Path, content: bytes) -> bool:
    """Write over a file of the same length; return False if it has to be replaced.

    Three calls of the system in place of eight. A kill cannot leave a part of it: the kernel copies
    what is within a page in one step, and for anything else there is the checksum.

    Raises:
        OSError: it could not be written.
    """
    if len(content) > _PAGE_BYTES:
        return False
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return os.pwrite(opened, content, 0) == len(content)
    finally:
        os.close(opened)


def _end(seq: object, wall_ns: object) -> End:
    """Return an end that was noted.

    Raises:
        TypeError: it is damaged.
    """
    if (number := _number(seq)) < 0:
        raise TypeError("a negative number")
    return End(number, _number(wall_ns))


def _number(value: object) -> int:
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise TypeError("not a number")
    return value


def _name(value: object) -> str:
    # What was not UTF-8 has replacement characters.
    if not isinstance(value, str) or "\ufffd" in value:
        raise TypeError("not a name")
    return value


def begin_run(
    store: Store, run: str, wall_ns: int, from_file: PreviousRun | None
) -> list[PreviousRun]:
    """Note that a run began; return the earlier runs with unreported gaps, oldest first.

    A run may have unreported gaps until each of its streams has a certain sample in a later run.
    The event that names the gap is queued before that sample, so then it is certain as well.

    Args:
        store: where runs are kept.
        run: id of the run that begins.
        wall_ns: now; Unix time.
        from_file: what the run file says about the run before.
    """
    if from_file is not None and store.is_new:
        store.report.notice("deleted", _gone(from_file))
    with store.transaction() as db:
        if from_file is not None:
            values = (from_file.run, from_file.started_ns)
            db.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, FALSE)", values)
            unclean = db.execute("SELECT 1 FROM runs WHERE id = ? AND NOT clean", (from_file.run,))
            if unclean.fetchone():
                _write_ends(db, from_file.run, from_file.ends)
        runs = _unreported(_read_runs(db))
        kept = [previous.run for previous in runs]
        marks = ", ".join("?" * len(kept))
        db.execute(f"DELETE FROM runs WHERE id NOT IN ({marks})", kept)
        db.execute(f"DELETE FROM certain WHERE run NOT IN ({marks})", kept)
        # Each run finds out for itself which topics the broker refuses.
        db.execute("DELETE FROM parked")
    store.note_run(run, wall_ns)
    return runs


def _gone(previous: PreviousRun) -> str:
    """Return what is known of an outbox that was removed between two runs."""
    ends = [f"{'/'.join(stream)} up to {end.seq}" for stream, end in previous.ends.items()]
    more = ["…"] if len(ends) > _ENDS_NAMED else []
    known = ", ".join([*ends[:_ENDS_NAMED], *more]) or "none"
    return (
        f"the file of the previous run is gone; samples of {previous.run} that waited in it are"
        f" lost, of these streams: {known}"
    )


def note_certain(store: Store, run: str, ends: Ends) -> None:
    """Note where the certain samples of these streams end in this run."""
    with store.transaction() as db:
        _write_ends(db, run, ends)


def end_run(store: Store, run: str, ends: Ends) -> None:
    """Note that the run stopped cleanly, and where its streams ended."""
    with store.transaction() as db:
        db.execute("UPDATE runs SET clean = TRUE WHERE id = ?", (run,))
        _write_ends(db, run, ends)


def _write_ends(db: sqlite3.Connection, run: str, ends: Ends) -> None:
    rows = [(run, *stream, end.seq, storable_ns(end.wall_ns)) for stream, end in ends.items()]
    db.executemany("INSERT OR REPLACE INTO certain VALUES (?, ?, ?, ?, ?)", rows)


def _read_runs(db: sqlite3.Connection) -> list[PreviousRun]:
    """Return all noted runs; what is damaged is left out, and deleted with what is out of date."""
    by_id: dict[str, PreviousRun] = {}
    for run, clean, started_ns in db.execute(
        "SELECT id, clean, started_ns FROM runs ORDER BY rowid"
    ):
        with suppress(TypeError):
            by_id[run] = PreviousRun(_name(run), bool(clean), _number(started_ns), {})
    columns = "run, peripheral, stream, seq, wall_ns"
    for run, peripheral, stream, *end in db.execute(f"SELECT {columns} FROM certain"):
        with suppress(KeyError, TypeError):
            by_id[run].ends[_name(peripheral), _name(stream)] = _end(*end)
    return list(by_id.values())


def _unreported(runs: list[PreviousRun]) -> list[PreviousRun]:
    """Return the first run with a stream that no later run has, and all runs after it.

    If that is more than ``2 * _RUNS_KEPT``, leave out the runs in the middle.
    """
    newest = {stream: place for place, previous in enumerate(runs) for stream in previous.ends}
    unreported = runs[min(newest.values(), default=0) :]
    if len(unreported) <= 2 * _RUNS_KEPT:
        return unreported
    return [*unreported[:_RUNS_KEPT], *unreported[-_RUNS_KEPT:]]
