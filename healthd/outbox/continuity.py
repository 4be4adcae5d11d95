"""Where streams ended in the run before, so that this run can say what is missing in between."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from healthd.outbox.store import Store

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
    """The run before.

    Attributes:
        run: its id.
        clean: it ended by a clean stop.
        started_ns: when it began; Unix time.
        ends: until where its streams are certain. After an unclean stop only what was noted shortly
            before it, and nothing at all after a power cut.
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

    def note(self, run: str, ends: Ends) -> None:
        """Replace the note; losing one is no fault, the next is half a second away."""
        if self._file is None:
            return
        note = orjson.dumps({"run": run, "ends": [[*stream, *end] for stream, end in ends.items()]})
        if note == self._noted:
            return
        # Renamed into place: a reader, and the next run, see the old note or the new one.
        draft = self._file.with_suffix(".new")
        try:
            draft.write_bytes(note)
            draft.replace(self._file)
        except OSError:
            return
        self._noted = note

    def read(self, run: str) -> Ends:
        """What was noted of ``run``; empty where there is no such note."""
        try:
            note = orjson.loads(self._file.read_bytes()) if self._file is not None else None
            if not note or note["run"] != run:
                return {}
            return {(one[0], one[1]): End(one[2], one[3]) for one in note["ends"]}
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return {}


def begin_run(store: Store, run: str, wall_ns: int) -> Previous | None:
    """Note that a run began; what the store knows of the one before. None on a first start."""
    with store.transaction() as db:
        known = db.execute("SELECT id, clean, started_ns FROM runs").fetchone()
        ends = db.execute("SELECT peripheral, stream, seq, wall_ns FROM ends").fetchall()
        db.execute("DELETE FROM runs")
        db.execute("DELETE FROM ends")
        # What the broker refuses is found out anew.
        db.execute("DELETE FROM parked")
    store.note_run(run, wall_ns)
    if known is None:
        return None
    return Previous(
        run=known[0],
        clean=bool(known[1]),
        started_ns=known[2],
        ends={(peripheral, stream): End(seq, ns) for peripheral, stream, seq, ns in ends},
    )


def end_run(store: Store, run: str, ends: Ends) -> None:
    """Note that the run stopped cleanly, and where its streams ended."""
    with store.transaction() as db:
        db.execute("UPDATE runs SET clean = TRUE WHERE id = ?", (run,))
        rows = [(*stream, *end) for stream, end in ends.items()]
        db.executemany("INSERT OR REPLACE INTO ends VALUES (?, ?, ?, ?)", rows)
