"""Counters of stored samples."""

import sqlite3
from contextlib import closing
from pathlib import Path

from healthd.outbox.schema import Depth, StreamStats
from healthd.outbox.store import Store
from healthd.outbox.tally import read_stats
from tests.unit.outbox.bench import QUOTA, entry

# Bytes of a payload of the bench without a filling, with a number of one digit.
EMPTY = len(b'{"id":"run-5","seq":5,"filling":""}')


def test_stats_are_exact(path: Path) -> None:
    with closing(Store(path, QUOTA)) as store:
        assert store.depth() == Depth({}, 0, None)
        store.append([entry(5, size=10), entry(4, size=20), entry(9, peripheral="b", size=0)])
        store.append([entry(1, peripheral="", stream="event/gap", size=1)])
        wall_ns = entry(0).wall_ns
        counts = {("strap", "beat"): 2, ("b", "beat"): 1, ("", "event/gap"): 1}
        # The oldest time is that of the first row.
        assert store.depth() == Depth(counts, 4 * EMPTY + 31, wall_ns + 5)
        with closing(sqlite3.connect(path)) as db:
            stats = read_stats(db)
        assert sorted(stats, key=str) == [
            StreamStats("", "event/gap", 1, wall_ns + 1, EMPTY + 1),
            # The oldest time of a stream is its earliest, not that of its first row.
            StreamStats("b", "beat", 1, wall_ns + 9, EMPTY),
            StreamStats("strap", "beat", 2, wall_ns + 4, 2 * EMPTY + 30),
        ]
        store.record_outcomes([1, 3], {})
        assert store.depth() == Depth(
            {("strap", "beat"): 1, ("", "event/gap"): 1}, 2 * EMPTY + 21, wall_ns + 4
        )
        store.record_outcomes([2, 4], {})
        assert store.depth() == Depth({}, 0, None)
