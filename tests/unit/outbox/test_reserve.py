"""Reserving the quota without writing it: other programs fill the disk, and nothing is lost."""

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from benchmarks.proc import written_bytes
from healthd.outbox.store import Store
from tests.chaos.disk import LoopDisk, needs_disk
from tests.unit.outbox.bench import (
    ALL,
    QUOTA,
    SmallDisk,
    checkpoint,
    entry,
    filled,
    seqs_in,
    soon,
    used_bytes,
)

ROOT = Path(__file__).parents[3]

# The default of the settings, and what a first start may write: the budget.
DEFAULT_BYTES, BUDGET_BYTES = 256_000_000, 1_000_000

# Of a quota of 8 MB this many samples of 400 bytes take nine tenths.
OUTAGE, EACH = 12_000, 100


def claim(store: Store) -> None:
    """Claim all that can be claimed."""
    while store.claim_space():
        pass


def outage(store: Store, count: int = OUTAGE) -> list[int]:
    """Store samples in commits of a usual size; return their rows."""
    rows: list[int] = []
    for first in range(1, count + 1, EACH):
        rows += store.append(entry(seq, size=300) for seq in range(first, first + EACH))
    return rows


def data_bytes(path: Path) -> int:
    """Return how much of a file was written: the rest is a hole or only reserved."""
    found, at = 0, 0
    with path.open("rb") as opened, suppress(OSError):
        while True:
            begin = os.lseek(opened.fileno(), at, os.SEEK_DATA)
            at = os.lseek(opened.fileno(), begin, os.SEEK_HOLE)
            found += at - begin
    return found


def check_structure(path: Path) -> None:
    """Check the file as SQLite sees it: each page is used once, or in the list of free pages."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_first_start_writes_hardly_anything(path: Path) -> None:
    before = written_bytes(os.getpid())
    with closing(Store(path, DEFAULT_BYTES)) as store:
        claim(store)
        assert written_bytes(os.getpid()) - before <= BUDGET_BYTES
        assert data_bytes(path) <= BUDGET_BYTES
        assert path.stat().st_blocks * 512 >= DEFAULT_BYTES
        assert path.stat().st_mode & 0o777 == 0o600
        check_structure(path)


def test_all_of_it_is_used_and_freed_again(path: Path) -> None:
    with closing(Store(path, 8_000_000)) as store:
        claim(store)
        rows = outage(store)
        assert store.pop_lost() == []
        check_structure(path)
        store.record_outcomes(rows, {})
        assert store.depth().counts == {}
        # The same once more, on pages that were used before.
        outage(store)
        assert store.pop_lost() == []
        outage(store)
        assert store.pop_lost() != []
        check_structure(path)
        assert path.stat().st_size <= 8_000_000


def test_seven_nights_of_outage_leave_the_file_as_it_was(path: Path) -> None:
    """Delivered in the order of many topics, not of the rows: what is freed is used again."""
    with closing(Store(path, 8_000_000)) as store:
        claim(store)
        size = path.stat().st_size
        checkpoint(path)
        used = used_bytes(path)
        for night in range(7):
            rows = outage(store, OUTAGE // 2 + night * 500)
            for first in range(5):
                store.record_outcomes(rows[first::5], {})
            assert store.pop_lost() == []
            checkpoint(path)
            assert path.stat().st_size == size
            assert used_bytes(path) <= used + 4096
        check_structure(path)


def test_the_file_is_used_from_front_to_back(path: Path) -> None:
    """On a card, one long write is better than as many single ones."""
    with closing(Store(path, 8_000_000)) as store:
        outage(store, 6000)
        checkpoint(path)
        used = used_bytes(path)
        # Pages of the list that are not in use yet were written as well.
        assert used / 2 < data_bytes(path) <= used + 16 * 4096


@pytest.mark.parametrize("left", [b"", b"x" * 5000])
def test_what_a_kill_leaves_of_a_new_file_is_replaced(path: Path, left: bytes) -> None:
    path.parent.mkdir()
    path.with_suffix(".new").write_bytes(left)
    with closing(filled(path, 10)) as store:
        assert seqs_in(store) == list(range(1, 11))
    assert path.stat().st_size == QUOTA // 4096 * 4096
    assert not path.with_suffix(".new").exists()


def test_a_log_without_its_file_is_not_replayed_into_a_new_one(path: Path) -> None:
    store = filled(path, 300)
    log = Path(f"{path}-wal")
    kept = log.read_bytes()
    store.close()
    path.unlink()
    log.write_bytes(kept)
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == []
        store.append([entry(1)])
        check_structure(path)


def test_a_full_disk_during_an_outage_of_the_whole_quota_loses_nothing(
    small_disk: SmallDisk,
) -> None:
    small_disk.resize("24m")
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, 8_000_000)) as store:
        claim(store)
        small_disk.fill()
        assert os.statvfs(small_disk.folder).f_bavail == 0
        outage(store)
        assert store.pop_lost() == []
        assert seqs_in(store) == list(range(1, OUTAGE + 1))
        check_structure(path)


def fill(folder: Path) -> None:
    """Use up every block, as another program whose log grows and grows."""
    with (folder / "log").open("ab", buffering=0) as opened:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while opened.write(bytes(size)):
                    pass
            os.fsync(opened.fileno())


# Killed after its last line: a process that still had the log's index in memory would crash.
BEFORE_THE_CUT = """
import sys
from pathlib import Path
from tests.unit.outbox.test_reserve import OUTAGE, claim, entry, fill, outage, Store
path = Path(sys.argv[1])
store = Store(path, 8_000_000)
claim(store)
fill(path.parent)
rows = outage(store, OUTAGE // 2)
# What another program frees goes to the next one; what the outbox frees is its own.
store.record_outcomes(rows[: OUTAGE // 4], {})
fill(path.parent)
store.append(entry(seq, size=300) for seq in range(OUTAGE // 2 + 1, OUTAGE + 1))
assert store.pop_lost() == []
print("stored", flush=True)
sys.stdin.read()
"""


@needs_disk
async def test_on_a_full_ext4_an_outage_of_the_whole_quota_survives_a_power_cut(
    tmp_path: Path,
) -> None:
    async with LoopDisk(tmp_path, megabytes=40) as disk:
        path = disk.mount_point / "outbox.sqlite3"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BEFORE_THE_CUT, path, cwd=ROOT, stdin=PIPE, stdout=PIPE
        )
        assert process.stdout is not None
        assert await soon(process.stdout.readline()) == b"stored\n"
        disk.cut_power()
        process.kill()
        await process.wait()
        await disk.unmount()
        await disk.mount()
        with closing(Store(path, 8_000_000)) as store:
            assert store.notice is None
            assert seqs_in(store) == list(range(OUTAGE // 4 + 1, OUTAGE + 1))
            fill(disk.mount_point)
            store.record_outcomes([each.row for each in store.oldest(ALL)], {})
            outage(store)
            assert store.pop_lost() == []
            check_structure(path)


@pytest.fixture
def old_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system that cannot reserve space: an ext2 of 40 MB."""
    image, folder = tmp_path / "disk.img", tmp_path / "old"
    folder.mkdir()
    image.touch()
    os.truncate(image, 40_000_000)
    make = ["mkfs.ext2", "-q", "-F", "-m", "0", image]
    mount = ["mount", "-t", "ext2", "-o", "loop", image, folder]
    for command in (make, mount):
        if (
            os.geteuid() != 0
            or shutil.which(str(command[0])) is None
            or subprocess.run(command, check=False, capture_output=True).returncode
        ):
            pytest.skip(f"NOT TESTED: a file system that cannot reserve space needs {command[0]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_where_space_cannot_be_reserved_it_is_written(old_disk: Path) -> None:
    with closing(Store(old_disk / "outbox.sqlite3", 8_000_000)) as store:
        # Nothing is written at the start: it does not wait for that.
        assert store.path.stat().st_size < QUOTA
        claim(store)
        fill(old_disk)
        outage(store)
        assert store.pop_lost() == []
        assert seqs_in(store) == list(range(1, OUTAGE + 1))
        check_structure(store.path)


def test_a_disk_that_is_too_small_is_not_filled(small_disk: SmallDisk) -> None:
    small_disk.resize("16m")
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, DEFAULT_BYTES)) as store:
        assert QUOTA < path.stat().st_size < 8_000_000
        claim(store)
        assert os.statvfs(small_disk.folder).f_bavail * 4096 > QUOTA
        outage(store, 1000)
        assert store.pop_lost() == []


def test_without_room_for_the_file_the_error_is_that_of_the_disk(small_disk: SmallDisk) -> None:
    small_disk.fill()
    with pytest.raises((sqlite3.OperationalError, OSError)) as caught:
        Store(small_disk.folder / "outbox.sqlite3", QUOTA)
    code = getattr(caught.value, "sqlite_errorcode", getattr(caught.value, "errno", None))
    assert code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, errno.ENOSPC)
    assert sorted(file.name for file in small_disk.folder.iterdir()) == ["ballast"]
