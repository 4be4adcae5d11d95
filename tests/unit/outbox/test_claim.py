"""Claiming by writing what is not reserved, so that a full disk does not stop the store."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from healthd.outbox.store import Store
from tests.unit.outbox.bench import (
    ALL,
    EVICTED_AT_ONCE,
    QUOTA,
    SmallDisk,
    entry,
    filled,
    seqs_in,
)


@pytest.fixture
def no_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that cannot reserve space; ``test_reserve.py`` has a real one."""

    def cannot(descriptor: int, end: int) -> bool:
        del descriptor, end
        return False

    monkeypatch.setattr("healthd.outbox.reserve._can_reserve", cannot)


def written(path: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the last write of each of the store's files that hold data."""
    files = (file for file in path.parent.iterdir() if file.suffix != ".sqlite3-shm")
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def claim(store: Store) -> int:
    """Claim the whole quota; return the number of steps."""
    steps = 0
    while store.claim_space():
        steps += 1
    return steps


def exercise(store: Store, commits: int, each: int = 5) -> None:
    """Append samples, ``each`` per commit, and delete every fourth one."""
    for commit in range(commits):
        rows = store.append(entry(commit * each + place, size=400) for place in range(each))
        store.record_outcomes(rows[::4], {})


@pytest.mark.usefixtures("no_reservation")
def test_the_quota_is_claimed_once(path: Path) -> None:
    with closing(Store(path, 3 * QUOTA)) as store:
        assert claim(store) > 1
        assert 0.95 * 3 * QUOTA <= path.stat().st_size <= 3 * QUOTA
        assert store.oldest(ALL) == []
        with closing(sqlite3.connect(path)) as other:
            before = other.execute("PRAGMA data_version").fetchall(), written(path)
            assert store.claim_space() is False
            assert (other.execute("PRAGMA data_version").fetchall(), written(path)) == before
    claimed = written(path)
    with closing(Store(path, 3 * QUOTA)) as store:
        assert store.claim_space() is False
        assert path.stat().st_size == claimed[path.name][0]


def test_claiming_space_keeps_stored_samples(path: Path) -> None:
    """As after ``max_size`` was raised."""
    filled(path, 100).close()
    with closing(Store(path, 3 * QUOTA)) as store:
        assert claim(store) > 1
        assert seqs_in(store) == list(range(1, 101))
        assert store.pop_lost() == []


@pytest.mark.usefixtures("no_reservation")
def test_a_half_claimed_quota_is_available_to_samples(path: Path) -> None:
    """A kill or an outage may happen while the quota is being claimed."""
    store = Store(path, 3 * QUOTA // 2)
    assert store.claim_space()
    store.close()
    with closing(Store(path, 3 * QUOTA // 2)) as store:
        # More than fits next to the megabyte that is claimed by then.
        store.append(entry(seq, size=1000) for seq in range(1, 901))
        assert store.pop_lost() == []
        assert seqs_in(store) == list(range(1, 901))
        claim(store)
        assert seqs_in(store) == list(range(1, 901))


@pytest.mark.parametrize(
    ("quota", "each"),
    # Samples per commit: a second of a few straps, of thirty straps, and all that memory holds.
    [(QUOTA, 5), (QUOTA, 100), (4 * QUOTA, 5), (4 * QUOTA, 100), (4 * QUOTA, 2000)],
)
def test_a_claimed_store_keeps_working_on_a_full_disk(
    small_disk: SmallDisk, quota: int, each: int
) -> None:
    small_disk.resize("16m")
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, quota)) as store:
        claim(store)
        small_disk.fill()
        assert os.statvfs(small_disk.folder).f_bavail == 0
        exercise(store, 2 * quota // (each * 500), each)
        assert sum(lost.count for lost in store.pop_lost()) > EVICTED_AT_ONCE
        store.append([entry(1_000_000)])
        assert seqs_in(store)[-1] == 1_000_000
        assert os.statvfs(small_disk.folder).f_bavail == 0


@pytest.mark.usefixtures("no_reservation")
def test_an_unclaimed_store_fails_on_a_full_disk(small_disk: SmallDisk) -> None:
    """Without the claim, the fault that the test above covers does happen."""
    path = small_disk.folder / "outbox.sqlite3"
    with closing(filled(path, 10)) as store:
        small_disk.fill()
        with pytest.raises(sqlite3.OperationalError) as caught:
            exercise(store, 1000)
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        small_disk.empty()
        exercise(store, 1)


def test_on_a_disk_smaller_than_the_quota_the_free_space_is_claimed(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, 100 * QUOTA)) as store:
        claim(store)
        exercise(store, 100)
        assert store.pop_lost() == []
        assert len(store.oldest(ALL)) == 100 * 3
