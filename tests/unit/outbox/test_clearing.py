"""Deleting delivered rows: all at once if nothing else is left."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.proc import written_bytes
from healthd.outbox.store import Store
from tests.unit.outbox.bench import QUOTA, entry, filled, select, seqs_in

ROWS = 1000


def check_intact(path: Path) -> None:
    """Check the structure, and that the next start finds nothing wrong."""
    assert select(path, "PRAGMA integrity_check") == [("ok",)]
    with closing(Store(path, QUOTA)) as store:
        while store.check_step():
            pass
        assert store.notice is None
        assert store.report.pop() == ([], [])


def test_after_all_rows_are_delivered_the_next_ones_are_counted_as_before(path: Path) -> None:
    with closing(filled(path, ROWS)) as store:
        store.record_outcomes(range(1, ROWS + 1), {})
        assert store.depth() == ({}, 0, None)
        assert select(path, "SELECT count(*) FROM tally") == [(0,)]
        rows = store.append(entry(seq) for seq in range(ROWS + 1, ROWS + 11))
        assert min(rows) > ROWS
        assert store.depth().counts == {("strap", "beat"): 10}
        store.record_outcomes(rows[:4], {})
        assert store.depth().counts == {("strap", "beat"): 6}
        assert seqs_in(store) == list(range(ROWS + 5, ROWS + 11))
    check_intact(path)


@pytest.mark.parametrize("kept", [1, ROWS // 2, ROWS])
def test_a_row_that_is_not_delivered_stays_whatever_the_tally_says(path: Path, kept: int) -> None:
    with closing(filled(path, ROWS)) as store:
        with store.transaction() as db:
            db.execute("UPDATE tally SET count = ?", (ROWS - 1,))
        store.record_outcomes([row for row in range(1, ROWS + 1) if row != kept], {})
        assert seqs_in(store) == [kept]


def test_what_a_refused_topic_keeps_is_noted_together_with_the_deletion(path: Path) -> None:
    with closing(filled(path, ROWS)) as store:
        store.record_outcomes(range(1, ROWS + 1), {"topic": "denied"})
        assert select(path, "SELECT topic, reason FROM parked") == [("topic", "denied")]
        store.record_outcomes([], {"topic": None})
        assert select(path, "SELECT topic, reason FROM parked") == []
    check_intact(path)


def test_to_delete_everything_writes_little(path: Path, tmp_path: Path) -> None:
    written: list[int] = []
    for rows in (ROWS, ROWS - 1):
        with closing(filled(tmp_path / f"{rows}" / path.name, ROWS)) as store:
            before = written_bytes(os.getpid())
            store.record_outcomes(range(1, rows + 1), {})
            written.append(written_bytes(os.getpid()) - before)
    if not written[1]:
        pytest.skip("NOT TESTED: the temporary folder is not on a disk")
    everything, all_but_one = written
    assert everything < all_but_one / 3
