"""``healthd capture`` when it cannot capture: messages and exit codes; and what is on disk."""

import os
import socket
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import orjson
import pytest

from healthd.cli.capture import main
from healthd.gateway.control_socket import socket_file
from healthd.host import folders
from healthd.traffic.codec import encode, lines
from healthd.traffic.lines import Advertised, Line
from tests.unit.cli.captured import ADVERTISED, START

SETTINGS = """
[gateway]
id = "gw"
[outbox]
directory = "{folder}"
[[peripherals]]
id = "strap"
name = "Strap"
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
    file.write_text(SETTINGS.format(folder=tmp_path))
    return file


def capture(
    config: Path, peripheral: str = "strap", *, stored: bool = False, out: str = "out.jsonl"
) -> int:
    return main(peripheral, None, config.parent / out, False, stored, config)


@contextmanager
def daemon(runtime: Path, answer: bytes) -> Generator[None]:
    """Answer one request with these bytes, and end."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(socket_file(runtime, "gw")))
        listening.listen()

        def serve() -> None:
            connected, _ = listening.accept()
            with connected:
                assert orjson.loads(connected.recv(4096)) == {
                    "verb": "capture",
                    "peripheral": "strap",
                }
                connected.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield
        thread.join()


def written(config: Path) -> list[Line]:
    return list(lines((config.parent / "out.jsonl").read_bytes().splitlines()))


@pytest.mark.usefixtures("runtime")
def test_an_unknown_peripheral(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture(config, "belt") == 2
    assert "no peripheral 'belt' in the settings; peripherals: strap" in capsys.readouterr().err


@pytest.mark.usefixtures("runtime")
def test_without_a_daemon(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture(config) == 1
    assert "healthd is not running for gateway gw" in capsys.readouterr().err
    assert not (config.parent / "out.jsonl").exists()


def test_bad_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture(tmp_path / "absent.toml") == 78
    assert "absent.toml" in capsys.readouterr().err


@pytest.mark.parametrize("stored", [False, True])
def test_an_existing_file_is_not_replaced(
    config: Path, capsys: pytest.CaptureFixture[str], stored: bool
) -> None:
    (config.parent / "out.jsonl").write_text("mine")
    assert capture(config, stored=stored) == 1
    assert "out.jsonl exists" in capsys.readouterr().err
    assert (config.parent / "out.jsonl").read_text() == "mine"


def test_a_file_that_cannot_be_made(
    runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = b'{"status":"ok","data":{}}\n' + encode(START) + b"\n"
    with daemon(runtime, answer):
        assert capture(config, out="no/folder.jsonl") == 1
    assert "no/folder.jsonl: No such file or directory" in capsys.readouterr().err


def test_a_refusal(runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon(runtime, b'{"status":"error","error":"there are 4 captures already"}\n'):
        assert capture(config) == 1
    assert "strap: there are 4 captures already" in capsys.readouterr().err
    assert not (config.parent / "out.jsonl").exists()


def test_a_daemon_that_ends(
    runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The last line is not whole.
    answer = b'{"status":"ok","data":{}}\n' + encode(START) + b"\n" + encode(ADVERTISED)
    with daemon(runtime, answer + b"\n" + encode(ADVERTISED)[:30]):
        assert capture(config) == 1
    shown = capsys.readouterr()
    assert "2 lines" in shown.out
    assert "healthd ended" in shown.err
    _, advertised = written(config)
    assert isinstance(advertised, Advertised)
    assert (advertised.device, advertised.name) == ("02:00:5E:10:00:01", "Strap 00000001")


def test_a_daemon_of_another_version(
    runtime: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(runtime, b'{"status":"ok","data":{}}\n{"what":"dance"}\n'):
        assert capture(config) == 1
    assert "healthd sent what this version does not understand: line 1" in capsys.readouterr().err


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


@pytest.mark.parametrize("locked", ["settings", "socket", "folder"])
def test_a_daemon_of_another_user(
    runtime: Path, capsys: pytest.CaptureFixture[str], locked: str
) -> None:
    config, file, folder = runtime / "healthd.toml", socket_file(runtime, "gw"), runtime / "capture"
    config.write_text(SETTINGS.format(folder=runtime))
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(file))
        listening.listen()
        runtime.chmod(0o711)
        {"settings": config, "socket": file, "folder": folder}[locked].chmod(0)
        with unprivileged():
            code = capture(config, stored=locked == "folder")
    assert code == 1
    assert "run this command with sudo" in capsys.readouterr().err


def test_nothing_is_stored(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture(config, stored=True) == 1
    assert "has no capture of strap; [capture] in the settings keeps one" in capsys.readouterr().err


def test_a_damaged_part(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent / "capture"
    folder.mkdir()
    (folder / "000000001-strap.jsonl").write_bytes(encode(START) + b"\n{}\n")
    assert capture(config, stored=True) == 1
    assert "capture: line 2" in capsys.readouterr().err


def test_what_is_stored_is_masked_from_its_first_line_on(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.parent / "capture"
    folder.mkdir()
    early = ADVERTISED.model_copy(
        update={"name": None, "manufacturer_data": {"006b": b"\1" + b"8A2B44C1"}}
    )
    text = b"".join(encode(line) + b"\n" for line in (START, early, ADVERTISED))
    (folder / "000000001-strap.jsonl").write_bytes(text)
    assert capture(config, stored=True) == 0
    assert "3 lines" in capsys.readouterr().out
    _, first, second = written(config)
    assert isinstance(first, Advertised)
    assert isinstance(second, Advertised)
    assert first.manufacturer_data == {"006b": b"\1" + b"00000001"}
    assert second.name == "Strap 00000001"
    assert sorted(file.name for file in config.parent.iterdir()) == [
        *("capture", "healthd.toml", "out.jsonl")
    ]
