"""``healthd fetch`` when it cannot reach a daemon: messages and exit codes."""

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
[[peripherals]]
id = "bike"
name = "Bike"
connect = false
"""


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the user's runtime folder; there is no other one."""
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
    ("peripheral", "message"),
    [
        ("scael", "periodic peripherals: scale"),
        ("strap", 'strap is not periodic.*set every = "15min" or on = "advertising"'),
        ("bike", "bike is not periodic: it only advertises"),
    ],
)
@pytest.mark.usefixtures("runtime")
def test_an_unknown_or_continuous_peripheral_is_a_usage_error(
    config: Path, capsys: pytest.CaptureFixture[str], peripheral: str, message: str
) -> None:
    assert main(peripheral, config, as_json=False) == 2
    assert re.search(message, capsys.readouterr().err)


def test_without_a_daemon(runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for is_socket_left_over in (False, True):
        if is_socket_left_over:
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(socket_file(runtime, "gw")))
        assert main("scale", config, as_json=False) == 1
        assert "healthd is not running for gateway gw" in capsys.readouterr().err


def test_bad_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("scale", tmp_path / "absent.toml", as_json=False) == 78
    assert "absent.toml" in capsys.readouterr().err


@contextmanager
def unprivileged() -> Generator[None]:
    """Run the block as an unprivileged user: root may open everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("locked", ["settings", "socket"])
def test_a_daemon_of_another_user(
    runtime: Path, capsys: pytest.CaptureFixture[str], locked: str
) -> None:
    config, file = runtime / "healthd.toml", socket_file(runtime, "gw")
    config.write_text(SETTINGS)
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(file))
        daemon.listen()
        runtime.chmod(0o711)
        (config if locked == "settings" else file).chmod(0)
        with unprivileged():
            code = main("scale", config, as_json=False)
    assert code == 1
    assert "sudo -u healthd healthd fetch scale" in capsys.readouterr().err
