"""The database file: its pragmas, and what happens when it is damaged, deleted or read-only."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from healthd.outbox.database import is_damage, open_read_only
from healthd.outbox.store import Store
from healthd.outbox.taken import read_records
from healthd.samples import Record
from tests.unit.outbox.bench import (
    ALL,
    QUOTA,
    SmallDisk,
    checkpoint,
    entry,
    failing_disk,
    filled,
    garble_header,
    select,
    seqs_in,
    used_bytes,
)


def test_pragmas_are_set(path: Path) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "wal_autocheckpoint": 256,
        "journal_size_limit": -1,
        "auto_vacuum": 0,
        "temp_store": 2,  # MEMORY
        "page_size": 4096,
        "max_page_count": QUOTA // 4096,
    }
    with closing(filled(path, 1)) as store, store.transaction() as db:
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    assert found == expected


# Damage


def garble_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(used_bytes(path) // 2 // 4096 * 4096)
        file.write(b"\xa5" * 8192)


def truncate(path: Path) -> None:
    # The first pages have other tables.
    os.truncate(path, used_bytes(path) * 3 // 5)


Damage = Callable[[Path], None]
DAMAGES: list[Damage] = [garble_header, garble_middle, truncate]


def crashed(store: Store, folder: Path) -> tuple[Path, Path]:
    """Return copies of the file and its log, as kill -9 leaves them."""
    shutil.copytree(store.path.parent, folder)
    return folder / store.path.name, folder / f"{store.path.name}-wal"


def check_that_all_are_named(store: Store, present: list[int]) -> None:
    """Check that each sample from 1 to 1000 is either there or named as lost."""
    found = store.report.pop()
    named = {seq for _, lost in found.lost for seq in range(lost.first_seq, lost.last_seq + 1)}
    assert {reason for reason, _ in found.lost} <= {"damaged"}
    assert set(range(1, 1001)) - set(present) <= named
    assert sum(lost.count for _, lost in found.lost) == 1000 - len(present)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_intact_rows_of_a_damaged_file_are_kept(path: Path, damage: Damage) -> None:
    with closing(filled(path, 1000)):
        checkpoint(path)
    damage(path)
    damaged = path.read_bytes()
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is not None
        assert store.set_aside.parent == path.parent
        # Nothing is deleted, so that a person can try to recover the rest.
        (kept,) = path.parent.glob("*.corrupt-*[0-9]")
        assert kept.read_bytes() == damaged
        present = seqs_in(store)
        assert present == sorted(present)
        assert len(present) > 400
        check_that_all_are_named(store, present)
        store.append([entry(1001)])
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is None
        assert seqs_in(store) == [*present, 1001]


def test_damage_that_the_log_repairs_does_not_count(path: Path, tmp_path: Path) -> None:
    with closing(filled(path, 1000)) as store:
        file, log = crashed(store, tmp_path / "crashed")
    assert log.stat().st_size > 0
    # The log has all of it as well.
    garble_header(file)
    with closing(Store(file, QUOTA)) as store:
        assert store.set_aside is None
        assert seqs_in(store) == list(range(1, 1001))


def test_the_log_of_a_damaged_file_is_not_replayed_into_the_next_file(
    path: Path, tmp_path: Path
) -> None:
    with closing(filled(path, 1000)) as store:
        checkpoint(path)
        # This writes a few pages of the table to the log, but not the first page of the file.
        store.record_outcomes([500], {})
        file, log = crashed(store, tmp_path / "crashed")
    assert log.stat().st_size > 0
    garble_header(file)
    for _ in range(2):
        with closing(Store(file, QUOTA)) as store:
            assert seqs_in(store) == [*range(1, 500), *range(501, 1001)]
    assert len(list(file.parent.glob("*.corrupt-*[0-9]"))) == 1


@pytest.mark.parametrize("size", [0, 1, 511, 4095])
def test_of_a_file_that_was_cut_off_the_log_is_kept_and_copied(
    path: Path, tmp_path: Path, size: int
) -> None:
    """SQLite removes the log of an empty file, even if it may only read."""
    with closing(filled(path, 1000)) as store:
        file, log = crashed(store, tmp_path / "crashed")
    os.truncate(file, size)
    with pytest.raises(sqlite3.DatabaseError, match="cut off"):
        open_read_only(file)
    assert log.exists()
    with closing(Store(file, QUOTA)) as store:
        assert store.notice is not None
        assert store.notice[0] == "corrupt"
        present = seqs_in(store)
        assert len(present) > 400
        check_that_all_are_named(store, present)


def test_an_empty_file_is_reported(path: Path) -> None:
    with closing(filled(path, 1000)):
        checkpoint(path)
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    os.truncate(path, 0)
    with closing(Store(path, QUOTA)) as store:
        assert store.notice == ("corrupt", f"{path.name} was empty; what it held is lost")
        assert store.is_new
        store.append([entry(1001)])
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is None


def test_a_file_of_which_nothing_can_be_read_is_not_called_complete(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xa5" * 50_000)
    with closing(Store(path, QUOTA)) as store:
        ((_, detail),) = store.report.pop().notices
        assert detail.endswith("lost: nothing that is known of")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_found_while_running_is_recognised(path: Path, damage: Damage) -> None:
    store = filled(path, 1000)
    with store.transaction() as db:
        db.execute("PRAGMA cache_size=0")
    # Move everything to the database file, where no log can repair the damage.
    checkpoint(path)
    damage(path)
    with closing(store):
        with pytest.raises(sqlite3.DatabaseError) as caught:
            store.oldest(ALL)
            store.append([entry(1)])
        assert is_damage(caught.value, path)
        assert "copied" in store.start_over(caught.value)
        present = seqs_in(store)
        assert len(present) > 400
        check_that_all_are_named(store, present)
        store.append([entry(1001)])
        assert seqs_in(store) == [*present, 1001]


def test_a_failing_disk_is_not_damage(path: Path) -> None:
    with closing(filled(path, 1)) as store:
        with failing_disk(), pytest.raises(sqlite3.OperationalError, match="I/O") as caught:
            store.append([entry(2)])
        assert not is_damage(caught.value, path)
        store.append([entry(3)])
        assert seqs_in(store) == [1, 3]


# Deleted, replaced, read-only


@pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm")])
def test_a_deleted_file_is_recreated_with_its_content(
    path: Path, suffixes: tuple[str, ...]
) -> None:
    with closing(filled(path, 500)) as store:
        store.record_outcomes([1, 2, 250], {"topic": "denied"})
        noted = Record("series", 7, "noon")
        store.append([entry(0, record=noted)])
        before = store.oldest(ALL)
        assert not store.is_deleted()
        for suffix in suffixes:
            Path(f"{path}{suffix}").unlink()
        assert store.is_deleted()
        store.recreate()
        assert not store.is_deleted()
        assert store.oldest(ALL) == before
        assert store.append([entry(501)]) == [502]
        assert select(path, "SELECT topic, reason FROM parked") == [("topic", "denied")]
        assert read_records(store) == {"strap": {("beat", noted): False}}
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is None
        assert [stored.row for stored in store.oldest(ALL)] == [
            *(stored.row for stored in before),
            502,
        ]


def test_a_recreated_file_does_not_reuse_row_numbers(path: Path) -> None:
    """A late acknowledgement with the old number would delete another sample."""
    with closing(filled(path, 3)) as store:
        store.record_outcomes([1, 2, 3], {})
        path.unlink()
        store.recreate()
        assert store.append([entry(4)]) == [4]


def test_a_replaced_file_counts_as_deleted(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    Store(other, QUOTA).close()
    with closing(filled(path, 5)) as store:
        other.replace(path)
        assert store.is_deleted()
        store.recreate()
        assert seqs_in(store) == [1, 2, 3, 4, 5]


def test_a_file_that_cannot_be_recreated_yet_loses_nothing(small_disk: SmallDisk) -> None:
    """A deleted file that is still open uses its space, and the disk may be too small for two."""
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, 2 * QUOTA)) as store:
        store.append(entry(seq, size=1000) for seq in range(1, 1001))
        before = store.oldest(ALL)
        path.unlink()
        with pytest.raises(sqlite3.OperationalError):
            store.recreate()
        small_disk.resize("20m")
        if store.is_deleted():
            store.recreate()
        assert store.oldest(ALL) == before


def test_a_read_only_folder_is_an_error_but_not_damage(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    filled(path, 1).close()
    small_disk.make_read_only()
    before = sorted(small_disk.folder.iterdir())
    # Depending on whether SQLite kept the log at closing, opening fails or only writing.
    with pytest.raises(sqlite3.OperationalError) as caught, closing(Store(path, QUOTA)) as store:
        store.append([entry(2)])
    assert not is_damage(caught.value, path)
    with pytest.raises(OSError, match="Read-only"):
        Store(small_disk.folder / "below" / "outbox.sqlite3", QUOTA)
    assert sorted(small_disk.folder.iterdir()) == before
