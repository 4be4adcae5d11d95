"""The files with the keys of devices: private, whole, and never shown."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthd.settings.keys import Keys
from tests.support.folders import let_others_enter

KEY, OTHER = bytes(range(16)), bytes(range(16, 32))
OWNER = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: only root can act as another user"
)


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    """Give everything to everyone, unless it is closed on purpose."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Return the keys of a gateway that has never run."""
    return Keys(tmp_path / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_there_is_no_key(keys: Keys) -> None:
    assert keys.read("cuff") is None
    assert not keys.exists("cuff")


def test_a_key_is_private_and_replaces_the_one_before(keys: Keys) -> None:
    keys.make_folder()
    assert not keys.exists("cuff")
    for key in (KEY, OTHER):
        keys.store("cuff", key)
        assert keys.read("cuff") == key
    file = keys.file("cuff")
    assert [mode(path) for path in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]
    assert [path.name for path in file.parent.iterdir()] == ["cuff"], "nothing else is left"


def test_a_folder_that_exists_already_may_be_used_again(keys: Keys) -> None:
    keys.make_folder()
    keys.store("cuff", KEY)
    keys.make_folder()
    assert keys.read("cuff") == KEY


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"hunter2", b"00010", b"00 01", b"\xff\xfe0\x001\x00", b"\x00" * 16, b"ab" * 65],
    ids=["empty", "a line end", "a word", "odd", "a gap", "UTF-16", "zeros", "too long"],
)
def test_a_file_with_something_else_is_named_and_not_shown(keys: Keys, content: bytes) -> None:
    keys.make_folder()
    keys.file("cuff").write_bytes(content)
    with pytest.raises(ValueError, match=str(keys.file("cuff"))) as refused:
        keys.read("cuff")
    assert "expected" in str(refused.value) or "UTF-8" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_key_that_was_copied_with_an_editor_is_read(keys: Keys) -> None:
    keys.make_folder()
    keys.file("cuff").write_text(f"\ufeff{KEY.hex().upper()}\r\n", encoding="utf-8")
    assert keys.read("cuff") == KEY


def test_a_folder_that_is_a_file_is_an_error(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/keys").touch()
    for use in (lambda: keys.read("cuff"), keys.make_folder, lambda: keys.store("cuff", KEY)):
        with pytest.raises(OSError, match="keys"):
            use()
    assert not keys.exists("cuff")


@needs_root
def test_what_root_writes_belongs_to_the_owner_of_the_state_folder(tmp_path: Path) -> None:
    let_others_enter(tmp_path)
    state = tmp_path / "state"
    state.mkdir(0o700)
    os.chown(state, OWNER, OWNER)
    keys = Keys(state)
    keys.make_folder()
    keys.store("cuff", KEY)
    for path in (keys.file("cuff"), keys.file("cuff").parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (OWNER, OWNER)
    assert (os.geteuid(), os.getegid()) == (0, 0)
    assert keys.read("cuff") == KEY


@needs_root
def test_the_service_cannot_lead_root_to_another_folder(tmp_path: Path) -> None:
    let_others_enter(tmp_path)
    state, of_root = tmp_path / "state", tmp_path / "etc"
    state.mkdir(0o700)
    of_root.mkdir(0o755)
    (state / "keys").symlink_to(of_root)
    os.chown(state, OWNER, OWNER)
    keys = Keys(state)
    for use in (keys.make_folder, lambda: keys.store("cuff", KEY)):
        with pytest.raises(PermissionError):
            use()
    assert not any(of_root.iterdir())
    assert (os.geteuid(), os.getegid()) == (0, 0)


@needs_root
def test_who_may_not_read_the_key_gets_an_error(tmp_path: Path) -> None:
    let_others_enter(tmp_path)
    keys = Keys(tmp_path / "state")
    keys.make_folder()
    keys.store("cuff", KEY)
    os.seteuid(OWNER)
    try:
        with pytest.raises(PermissionError):
            keys.read("cuff")
        assert not keys.exists("cuff")
    finally:
        os.seteuid(0)
