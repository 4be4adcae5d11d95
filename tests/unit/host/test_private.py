"""D26: files and folders that only their owner may open, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthd.host.private import make_files, make_folder, open_to_others


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    """Give everything to everyone, unless it is closed on purpose."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_its_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "state"
    make_folder(folder)
    make_files(folder / "outbox.sqlite3")
    assert (mode(folder), mode(folder / "outbox.sqlite3")) == (0o700, 0o600)
    assert not open_to_others(folder)


def test_an_existing_folder_of_healthd_is_closed_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(0o755)
    names = ("outbox.sqlite3", "outbox.sqlite3-wal", "outbox.corrupt-1", "outbox.lock")
    for name in (*names, "held.json"):
        (folder / name).touch(0o644)
    assert open_to_others(folder)
    make_folder(folder)
    make_files(folder / "outbox.sqlite3")
    assert mode(folder) == 0o700
    assert {mode(folder / name) for name in names} == {0o600}


def test_a_folder_with_files_of_other_programs_stays_open(tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    folder.mkdir(0o755)
    (folder / "index.html").touch(0o644)
    make_folder(folder)
    make_files(folder / "outbox.sqlite3")
    assert (mode(folder), mode(folder / "index.html")) == (0o755, 0o644)
    assert mode(folder / "outbox.sqlite3") == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").touch(0o644)
    (tmp_path / "outbox.rows-1").symlink_to(tmp_path / "other")
    make_files(tmp_path / "outbox.sqlite3")
    assert mode(tmp_path / "other") == 0o644


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: needs root to become another user")
def test_what_belongs_to_someone_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(0o755)
    os.chown(folder, 65534, 65534)
    make_folder(folder)
    assert mode(folder) == 0o755


def test_a_folder_behind_a_link_is_closed(tmp_path: Path) -> None:
    """Some keep the outbox on another disk."""
    (tmp_path / "disk").mkdir(0o755)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    make_folder(tmp_path / "state")
    assert mode(tmp_path / "disk") == 0o700
