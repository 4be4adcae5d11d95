"""Where streams ended in the runs before, so that this run can say what is missing in between."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from healthd.host.atomic import replace_file
from healthd.outbox.store import Store

# Of a gateway that crashes at every start while a strap is absent, the first runs hold where the
# strap's streams ended, the last ones what was taken since; the many between took nothing.
_RUNS_KEPT = 8

Stream = tuple[str, str]
"""Peripheral and stream."""


class End(NamedTuple):
    """Until where a stream is certain: delivered, or on disk.

    Attributes:
        seq: the last number that is certain.
        wall_ns: when that sample was taken; Unix time.
    """

    seq: int
    wall_ns: int


Ends = dict[Stream, End]


@dataclass(frozen=True, slots=True)
class Previous:
    """A run before this one.

    Attributes:
        run: its id.
        clean: it ended by a clean stop.
        started_ns: when it began; Unix time.
        ends: until where its streams are certain. After an unclean stop this is what was noted
            shortly before it; after a power cut, the first sample of each stream.
    """

    run: str
    clean: bool
    started_ns: int
    ends: Ends


class Notebook:
    """Notes, in memory-backed storage, until where the streams of the current run are certain.

    The file is in a folder that lives as long as the boot (systemd's RuntimeDirectory), so that a
    steady state writes nothing to the disk and the next run still knows after a kill -9.
    """

    def __init__(self, folder: Path | None, gateway: str) -> None:
        """One file in ``folder`` for each gateway; without a folder nothing is noted."""
        self._file = None if folder is None else folder / f"healthd-{gateway}.json"
        self._noted = b""

    def note(self, run: str, started_ns: int, ends: Ends) -> None:
        """Replace the note; losing one is no fault, the next is half a second away."""
        if self._file is None:
            return
        rows = [[*stream, *end] for stream, end in ends.items()]
        note = orjson.dumps({"run": run, "started_ns": started_ns, "ends": rows})
        if note == self._noted:
            return
        try:
            replace_file(self._file, note)
        except OSError:
            return
        self._noted = note

    def read(self) -> Previous | None:
        """The run that noted something last, as if it had not ended cleanly; None without one."""
        try:
            note = orjson.loads(self._file.read_bytes()) if self._file is not None else None
            if not note:
                return None
            ends = {(row[0], row[1]): End(int(row[2]), int(row[3])) for row in note["ends"]}
            return Previous(str(note["run"]), False, int(note["started_ns"]), ends)
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None


def begin_run(store: Store, run: str, wall_ns: int, noted: Previous | None) -> list[Previous]:
    """Note that a run began; the runs before it that may have something untold, oldest first.

    A run has something untold until each of its streams has a certain sample in a later one: the
    event that names the stretch between is put before that sample, so it is certain as well.

    Args:
        store: where runs are kept.
        run: the one that begins.
        wall_ns: now; Unix time.
        noted: what the notebook has of the run before.
    """
    with store.transaction() as db:
        if noted is not None:
            values = (noted.run, noted.started_ns)
            db.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, FALSE)", values)
            unclean = db.execute("SELECT 1 FROM runs WHERE id = ? AND NOT clean", (noted.run,))
            if unclean.fetchone():
                _write_ends(db, noted.run, noted.ends)
        runs = _untold(_read_runs(db))
        kept = [one.run for one in runs]
        marks = ", ".join("?" * len(kept))
        db.execute(f"DELETE FROM runs WHERE id NOT IN ({marks})", kept)
        db.execute(f"DELETE FROM certain WHERE run NOT IN ({marks})", kept)
        # What the broker refuses is found out anew.
        db.execute("DELETE FROM parked")
    store.note_run(run, wall_ns)
    return runs


def note_certain(store: Store, run: str, ends: Ends) -> None:
    """Note that these streams have certain samples in this run, and until where."""
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


def _read_runs(db: sqlite3.Connection) -> list[Previous]:
    runs = [
        Previous(run, bool(clean), started_ns, {})
        for run, clean, started_ns in db.execute(
            "SELECT id, clean, started_ns FROM runs ORDER BY rowid"
        )
    ]
    known = {one.run: one for one in runs}
    columns = "run, peripheral, stream, seq, wall_ns"
    for run, peripheral, stream, seq, wall_ns in db.execute(f"SELECT {columns} FROM certain"):
        known[run].ends[peripheral, stream] = End(seq, wall_ns)
    return runs


def _untold(runs: list[Previous]) -> list[Previous]:
    """The runs from the first one on that knows more of some stream than all later ones."""
    newest = {stream: place for place, one in enumerate(runs) for stream in one.ends}
    untold = runs[min(newest.values(), default=0) :]
    if len(untold) <= 2 * _RUNS_KEPT:
        return untold
    return [*untold[:_RUNS_KEPT], *untold[-_RUNS_KEPT:]]
