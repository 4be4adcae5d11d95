"""Files that are replaced in one step: content, permissions, owner, and what a failure leaves."""

import os
import stat
from pathlib import Path

import pytest

from healthd.host.atomic import replace_file, replace_shared_file


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def accept(_draft: Path) -> None:
    pass


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_created_and_replaced(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "state.json"
    for content in (b"one", b"", b"three"):
        replace_file(file, content, durable=durable)
        assert file.read_bytes() == content
    assert names(tmp_path) == [file.name]


def test_a_reader_keeps_the_content_it_opened(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    replace_file(file, b"old")
    with file.open("rb") as reader:
        replace_file(file, b"new")
        assert reader.read() == b"old"


def test_content_is_flushed_before_the_rename_only_if_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed_sizes: list[int] = []
    file = tmp_path / "state.json"

    def note(descriptor: int) -> None:
        flushed_sizes.append(os.fstat(descriptor).st_size)
        assert not file.exists()

    monkeypatch.setattr(os, "fsync", note)
    replace_file(file, b"new", durable=True)
    assert flushed_sizes == [3]
    replace_file(file, b"newer")
    assert flushed_sizes == [3]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_the_owner_may_read_it_unless_requested(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "shared", b"", mode=0o640)
        replace_file(tmp_path / "private", b"")
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"shared": 0o640, "private": 0o600}


def test_a_draft_left_by_a_killed_process_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    (tmp_path / "state.new").write_bytes(b"a longer draft")
    replace_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == [file.name]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(b"old")
    (tmp_path / "state.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(file, b"new")
    assert file.read_bytes() == b"old"


def test_a_shared_file_keeps_its_permissions_and_owner(tmp_path: Path) -> None:
    file = tmp_path / "healthd.toml"
    file.write_bytes(b"old")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65533)
    before = file.stat()
    replace_shared_file(file, b"new", accept)
    after = file.stat()
    assert file.read_bytes() == b"new"
    assert after.st_ino != before.st_ino, "replaced in one step, not overwritten"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        *(before.st_mode, before.st_uid, before.st_gid),
    )
    assert names(tmp_path) == [file.name]


def test_a_shared_file_is_unchanged_if_the_check_fails(tmp_path: Path) -> None:
    file = tmp_path / "healthd.toml"
    file.write_bytes(b"old")
    checked: list[bytes] = []

    def refuse(draft: Path) -> None:
        checked.append(draft.read_bytes())
        raise ValueError("bad content")

    with pytest.raises(ValueError, match="bad content"):
        replace_shared_file(file, b"new", refuse)
    assert checked == [b"new"]
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == [file.name]


def test_a_shared_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_shared_file(tmp_path / "healthd.toml", b"new", accept)
    assert names(tmp_path) == []
