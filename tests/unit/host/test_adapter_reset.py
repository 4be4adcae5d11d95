"""Which requests the privileged program accepts, and how it rejects all others.

The reset itself needs a kernel with Bluetooth: the system tests check it.
"""

import json
import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healthd.host import adapter_reset
from healthd.host.adapter_reset import REQUEST, ResetRefused, take_request, unblock

# Debian's unprivileged user, in none of the groups used here.
UNPRIVILEGED = 65534


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: only root may become another user"
)


@contextmanager
def another_user(user: int, group: int) -> Generator[None]:
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"hci0", "hci0"), (b"hci0\n", "hci0"), (b"hci17\n", "hci17"), (b"hci07\n", "hci7")],
)
def test_an_adapters_name_is_accepted_and_removed(
    tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / REQUEST).write_bytes(content)
    assert take_request(tmp_path) == name
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hci",
        b"hci\n",
        b"hci123",
        b"hci0\n\n",
        b"hci0 ",
        b" hci0",
        b"hci0\nhci1\n",
        b"hci-1",
        b"HCI0",
        b"hci0\0",
        b"../hci0",
        b"hci0;reboot",
        "hci\u0661".encode(),  # a digit, but not an ASCII one
        b"\xff\xfe",
        b"hci0" + b"0" * 1_000_000,
    ],
)
def test_anything_else_is_refused_without_being_logged_and_removed(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / REQUEST).write_bytes(content)
    with pytest.raises(ResetRefused) as caught:
        take_request(tmp_path)
    assert str(caught.value) == "reset-adapter: expected hci and one or two digits"
    assert names(tmp_path) == []


def link(request: Path) -> None:
    request.symlink_to("target")


def dangling_link(request: Path) -> None:
    request.symlink_to("nowhere")


def pipe(request: Path) -> None:
    os.mkfifo(request)


def unix_socket(request: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(request))


@pytest.mark.parametrize("make", [link, dangling_link, pipe, unix_socket])
def test_what_is_not_a_regular_file_is_refused_at_once_and_removed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    # A link that was followed would lead to a valid request.
    (tmp_path / "target").write_bytes(b"hci0\n")
    make(tmp_path / REQUEST)
    with pytest.raises((ResetRefused, OSError)):
        take_request(tmp_path)
    assert names(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"hci0\n"


def empty(request: Path) -> None:
    request.mkdir()


def full(request: Path) -> None:
    """With a link that must not be followed."""
    (request / "deeper").mkdir(parents=True)
    (request / "deeper" / "link").symlink_to(request.parent / "target")


@pytest.mark.parametrize(("make", "left"), [(empty, 0), (full, 1)])
def test_a_folder_is_refused_and_not_found_again(
    tmp_path: Path, make: Callable[[Path], None], left: int
) -> None:
    """D22: systemd starts the program again as long as something has this name."""
    (tmp_path / "target").write_bytes(b"hci0\n")
    make(tmp_path / REQUEST)
    with pytest.raises(ResetRefused, match="not a regular file"):
        take_request(tmp_path)
    assert not (tmp_path / REQUEST).exists()
    assert len(names(tmp_path)) == 1 + left
    assert (tmp_path / "target").read_bytes() == b"hci0\n"


@needs_root
def test_a_device_is_refused_and_removed(tmp_path: Path) -> None:
    os.mknod(tmp_path / REQUEST, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with pytest.raises((ResetRefused, OSError)):
        take_request(tmp_path)
    assert names(tmp_path) == []


@needs_root
@pytest.mark.parametrize("sealed", [0o700, 0o000])
def test_a_folder_that_the_group_may_not_open_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: int
) -> None:
    """As in the unit: the folder and all in it belong to the daemon's user."""
    folder = tmp_path / "runtime"
    full(folder / REQUEST)
    for owned in (folder, folder / REQUEST, folder / REQUEST / "deeper"):
        os.chown(owned, 1, 4242)
    folder.chmod(0o770)
    (folder / REQUEST).chmod(sealed)
    monkeypatch.chdir(folder)
    with another_user(UNPRIVILEGED, group=4242), pytest.raises(PermissionError):
        take_request(Path())
    (left,) = names(folder)
    assert left.startswith(f"{REQUEST}.refused-")


@needs_root
def test_what_cannot_be_removed_is_tried_again_only_after_the_pause(tmp_path: Path) -> None:
    """The daemon's user can forbid it: the folder is its own."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    (folder / REQUEST).write_bytes(b"hci0\n")
    folder.chmod(0o550)
    os.chown(folder, 1, 4242)
    waited: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_reset.time, "sleep", waited.append)
        patch.chdir(folder)
        with another_user(UNPRIVILEGED, group=4242):
            assert adapter_reset.main(Path(), 600) == 1
    assert waited == [600]
    assert names(folder) == [REQUEST]


@pytest.mark.parametrize("make", [link, pipe, unix_socket, empty, full])
def test_the_program_waits_after_a_request_that_the_daemon_does_not_make(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one may follow at once, forever."""
    waited: list[float] = []
    monkeypatch.setattr(adapter_reset.time, "sleep", waited.append)
    make(tmp_path / REQUEST)
    assert adapter_reset.main(tmp_path, 600) == 1
    assert waited == [600]


@pytest.mark.parametrize("content", [None, b"hci99\n"])
def test_nothing_waits_after_a_request_of_the_daemon(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter may be gone by now, and a request may have been taken already."""
    waited: list[float] = []
    monkeypatch.setattr(adapter_reset.time, "sleep", waited.append)
    if content is not None:
        (tmp_path / REQUEST).write_bytes(content)
    assert adapter_reset.main(tmp_path, 600) == 1
    assert waited == []


def test_a_runtime_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / REQUEST).write_bytes(b"hci0\n")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="link"):
        take_request(tmp_path / "link")
    assert names(tmp_path / "real") == [REQUEST]


def test_no_request_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take_request(tmp_path)


@needs_root
def test_the_rights_of_the_group_are_sufficient_and_necessary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the unit: not the owner of folder and file, but in their group; no capability."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    request = folder / REQUEST
    request.write_bytes(b"hci0\n")
    os.chown(folder, 1, 4242)
    folder.chmod(0o770)
    os.chown(request, 1, 4242)
    request.chmod(0o640)

    monkeypatch.chdir(folder)  # its parent folders are not open to every user
    with another_user(UNPRIVILEGED, group=4242):
        assert take_request(Path()) == "hci0"
    assert names(folder) == []

    request.write_bytes(b"hci0\n")
    os.chown(request, 1, 4242)
    request.chmod(0o600)
    with another_user(UNPRIVILEGED, group=4242), pytest.raises(PermissionError):
        take_request(Path())
    assert names(folder) == []


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter as in /sys/class/bluetooth, with one rfkill switch."""
    adapter = tmp_path / "hci0"
    (adapter / "rfkill3").mkdir(parents=True)
    (adapter / "rfkill3" / "soft").write_text("0\n")
    (adapter / "rfkill3" / "hard").write_text("0\n")
    return adapter


@pytest.fixture
def rfkill(tmp_path: Path) -> Path:
    file = tmp_path / "rfkill"
    file.touch()
    return file


def test_an_adapter_that_is_not_blocked_is_left_alone(adapter: Path, rfkill: Path) -> None:
    assert unblock(adapter, rfkill) is False
    assert rfkill.read_bytes() == b""


def test_a_soft_block_of_this_adapter_is_lifted(adapter: Path, rfkill: Path) -> None:
    (adapter / "rfkill3" / "soft").write_text("1\n")
    assert unblock(adapter, rfkill) is True
    # Index 3, type Bluetooth, operation "change this one", not soft-blocked.
    assert rfkill.read_bytes() == struct.pack("=I", 3) + bytes([2, 2, 0, 0])


def test_a_hardware_switch_is_reported(adapter: Path, rfkill: Path) -> None:
    (adapter / "rfkill3" / "hard").write_text("1\n")
    with pytest.raises(ResetRefused, match="hci0 is blocked by a hardware switch"):
        unblock(adapter, rfkill)


def test_a_missing_adapter_is_reported(tmp_path: Path, rfkill: Path) -> None:
    with pytest.raises(ResetRefused, match="no adapter hci5"):
        unblock(tmp_path / "hci5", rfkill)


@pytest.mark.parametrize("content", ["hci99\n", "rm -rf\n"])
def test_the_program_logs_one_line_that_says_why_not(tmp_path: Path, content: str) -> None:
    (tmp_path / REQUEST).write_text(content)
    # As in the unit, but from the source tree instead of the installed package.
    done = subprocess.run(
        [sys.executable, "-B", "-m", adapter_reset.__name__, tmp_path],
        cwd=Path(adapter_reset.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["level"], line["event"]) == ("error", "adapter not reset")
    assert "rm -rf" not in done.stderr
    assert names(tmp_path) == []


def test_only_the_standard_library_is_loaded() -> None:
    program = (
        "import sys, healthd.host.adapter_reset;"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=Path(adapter_reset.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["__main__", "healthd"]
