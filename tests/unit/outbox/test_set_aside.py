"""Files that were set aside: their number, their size, their permissions, and a kill in between."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from healthd.cli.outbox import main
from healthd.outbox.set_aside import files_set_aside, set_file_aside
from healthd.outbox.side_file import keep_rows
from healthd.outbox.store import Store
from tests.unit.outbox.bench import QUOTA, checkpoint, entry, filled, garble_header, seqs_in


def row(size: int) -> list[object]:
    return [1, "strap", "beat", "beat/1", "run", 1, 2**70, 3, "synced", "boot", b"\xff" * size]


def test_side_files_are_bounded_in_size_and_number(path: Path) -> None:
    path.parent.mkdir()
    for _ in range(200):
        keep_rows(path, "damaged", [row(20_000)])
    files = files_set_aside(path)
    assert len(files) == 4
    assert max(file.stat().st_size for file in files) <= 1_000_000
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_one_long_row_does_not_fill_a_side_file(path: Path) -> None:
    path.parent.mkdir()
    name = keep_rows(path, "damaged", [row(5_000_000)])
    assert path.with_name(name).stat().st_size < 200_000


def test_of_whole_damaged_files_the_newest_is_kept(path: Path) -> None:
    filled(path, 10).close()
    for number in range(3):
        checkpoint(path)
        garble_header(path)
        with closing(Store(path, QUOTA)) as store:
            assert seqs_in(store) == list(range(1, 11 + number))
            store.append([entry(11 + number)])
    (kept,) = path.parent.glob("*.corrupt-*[0-9]")
    assert b"no database here" in kept.read_bytes()
    assert not list(path.parent.glob("*.salvage-*"))


def test_a_kill_between_the_renames_does_not_separate_a_file_from_its_log(
    path: Path, tmp_path: Path
) -> None:
    with closing(filled(path, 500)):
        # Everything is in the log.
        log = Path(f"{path}-wal").read_bytes()
        content = path.read_bytes()
    set_file_aside(path, "salvage")
    (aside,) = files_set_aside(path)
    aside.write_bytes(content)
    Path(f"{aside}-wal").unlink(missing_ok=True)
    Path(f"{path}-wal").write_bytes(log)
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == list(range(1, 501))


def test_everything_that_is_set_aside_is_private(path: Path) -> None:
    """D26"""
    before = os.umask(0)
    try:
        filled(path, 10).close()
        garble_header(path)
        with closing(Store(path, QUOTA)) as store:
            store.append([entry(11, wall_ns=2**64)])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert len(modes) >= 5
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("first", range(8))
def test_a_wrong_byte_in_the_schema_page_costs_no_sample_and_no_start(
    path: Path, capsys: pytest.CaptureFixture[str], first: int
) -> None:
    """D28: exit 1 with a traceback at each start, of the commands, too."""
    filled(path, 20).close()
    checkpoint(path)
    content = path.read_bytes()
    used = next(at for at in range(200, 4096) if content[at]) - 1
    places = [*range(100), *range(used, 4096)][first::97]
    for at in places:
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(changed)
        code = main(None, path.parent, True)
        out, err = capsys.readouterr()
        assert code == 0 or len(err.splitlines()) == 1, (at, out, err)
        with closing(Store(path, QUOTA)) as store:
            kept = seqs_in(store)
            if store.notice is None or store.notice[0] != "other_version":
                assert kept == list(range(1, 21)), at
            assert store.append([entry(21)])
        with closing(Store(path, QUOTA)) as store:
            assert store.notice is None, at
            assert len(seqs_in(store)) == len(kept) + 1


def test_a_file_whose_disk_refuses_it_is_not_copied_for_ever(path: Path) -> None:
    filled(path, 10).close()
    garble_header(path)
    set_file_aside(path, "salvage")
    (aside,) = files_set_aside(path)
    aside.unlink()
    aside.mkdir()
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == []
        store.append([entry(1)])
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM salvage").fetchone() == (0,)
