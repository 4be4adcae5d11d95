"""``healthd fetch`` where it cannot ask: what it says then, and its exit code."""

import os
import re
import socket
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healthd.cli.fetch import main
from healthd.gateway.control_socket import socket_file
from healthd.host import folders

SETTINGS = """
[gateway]
id = "gw"
[[peripherals]]
id = "strap"
name = "Strap"
[[peripherals]]
id = "scale"
name = "Scale"
every = "15min"
"""


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's own runtime folder, and no other one."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setattr(folders, "SERVICE_RUNTIME", Path(name) / "absent")
        yield Path(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "healthd.toml"
    file.write_text(SETTINGS)
    return file


@pytest.mark.parametrize(
    ("peripheral", "said"),
    [
        ("scael", "periodic ones that there are: scale"),
        ("strap", 'strap is continuous.*set every = "15min" or on = "advertising"'),
    ],
)
@pytest.mark.usefixtures("runtime")
def test_what_cannot_be_fetched_is_a_usage_error(
    config: Path, capsys: pytest.CaptureFixture[str], peripheral: str, said: str
) -> None:
    assert main(peripheral, config, as_json=False) == 2
    assert re.search(said, capsys.readouterr().err)


def test_without_a_daemon(runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for left_by_a_killed_one in (False, True):
        if left_by_a_killed_one:
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(socket_file(runtime, "gw")))
        assert main("scale", config, as_json=False) == 1
        assert "no healthd runs as gateway gw" in capsys.readouterr().err


def test_bad_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("scale", tmp_path / "absent.toml", as_json=False) == 78
    assert "absent.toml" in capsys.readouterr().err


@contextmanager
def nobody() -> Generator[None]:
    """As a user without rights: root may open everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("locked", ["settings", "socket"])
def test_another_users_daemon(
    runtime: Path, capsys: pytest.CaptureFixture[str], locked: str
) -> None:
    config, file = runtime / "healthd.toml", socket_file(runtime, "gw")
    config.write_text(SETTINGS)
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(file))
        daemon.listen()
        runtime.chmod(0o711)
        (config if locked == "settings" else file).chmod(0)
        with nobody():
            code = main("scale", config, as_json=False)
    assert code == 1
    assert "sudo -u healthd healthd fetch scale" in capsys.readouterr().err
