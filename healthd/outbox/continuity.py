"""Where streams ended in earlier runs, so that this run can report what is missing in between.

A sample is certain once the broker has acknowledged it or the store has committed it.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from healthd.host.atomic import replace_file
from healthd.outbox.schema import Stream
from healthd.outbox.store import Store

# Keep this many of the oldest runs and of the newest. If a gateway crashes at every start while a
# strap is absent, the oldest hold where the strap's streams ended, and the newest hold what was
# measured since. The runs in between add nothing.
_RUNS_KEPT = 8


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

    def write(self, run: str, started_ns: int, ends: Ends) -> None:
        """Replace the content. Errors are ignored: the next write follows in half a second."""
        if self._file is None:
            return
        rows = [[*stream, *end] for stream, end in ends.items()]
        content = orjson.dumps({"run": run, "started_ns": started_ns, "ends": rows})
        if content == self._written:
            return
        try:
            replace_file(self._file, content)
        except OSError:
            return
        self._written = content

    def read(self) -> PreviousRun | None:
        """Return the run that wrote the file last, as not cleanly ended; None if there is none."""
        try:
            content = orjson.loads(self._file.read_bytes()) if self._file is not None else None
            if not content:
                return None
            ends = {(row[0], row[1]): End(int(row[2]), int(row[3])) for row in content["ends"]}
            return PreviousRun(str(content["run"]), False, int(content["started_ns"]), ends)
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None


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
    rows = [(run, *stream, *end) for stream, end in ends.items()]
    db.executemany("INSERT OR REPLACE INTO certain VALUES (?, ?, ?, ?, ?)", rows)


def _read_runs(db: sqlite3.Connection) -> list[PreviousRun]:
    runs = [
        PreviousRun(run, bool(clean), started_ns, {})
        for run, clean, started_ns in db.execute(
            "SELECT id, clean, started_ns FROM runs ORDER BY rowid"
        )
    ]
    by_id = {previous.run: previous for previous in runs}
    columns = "run, peripheral, stream, seq, wall_ns"
    for run, peripheral, stream, seq, wall_ns in db.execute(f"SELECT {columns} FROM certain"):
        by_id[run].ends[peripheral, stream] = End(seq, wall_ns)
    return runs


def _unreported(runs: list[PreviousRun]) -> list[PreviousRun]:
    """Return the first run with a stream that no later run has, and all runs after it.

    If that is more than ``2 * _RUNS_KEPT``, leave out the runs in the middle.
    """
    newest = {stream: place for place, previous in enumerate(runs) for stream in previous.ends}
    unreported = runs[min(newest.values(), default=0) :]
    if len(unreported) <= 2 * _RUNS_KEPT:
        return unreported
    return [*unreported[:_RUNS_KEPT], *unreported[-_RUNS_KEPT:]]
