"""The commands on files of radio traffic: what they print, and their exit codes."""

import json
from pathlib import Path

import pytest

from healthd.cli.capture_files import convert, show, to_test
from healthd.traffic.codec import encode
from healthd.traffic.lines import Advertised, Line
from tests.support.capture_lines import START, session, times

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Provide a capture."""
    return written(tmp_path / "capture.jsonl", session())


def written(file: Path, lines: list[Line]) -> Path:
    file.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return file


def test_show_prints_what_a_person_looks_for(capture: Path, capsys: Captured) -> None:
    assert show(capture, as_json=False) == 0
    shown = capsys.readouterr().out
    for text in (
        "healthd, 22 lines in 7.0 s",
        "names and serial numbers are replaced",
        '02:00:5E:10:00:01 ("HRM", "A name of more than thirty bytes"), advertisements: 2',
        "with heart_rate",
        "Link 1: from 0.500 s, 3.5 s, MTU 64, ended: timeout (0x08)",
        "Services that healthd reads: 180d heart_rate",
        "0x0010",
        "Links that could not be made: 1 × org.bluez.Error.Failed",
        "Changes of the adapter: 1 × removed",
        "Missing: 1 × the disk was full",
    ):
        assert text in shown, text


def test_show_prints_json(capture: Path, capsys: Captured) -> None:
    assert show(capture, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["devices"][0]["links"][0]["values"][1]["kind"] == "heart_rate"
    assert found["missing"] == {"the disk was full": 1}


def test_show_reads_up_to_the_damage(capture: Path, capsys: Captured) -> None:
    capture.write_bytes(capture.read_bytes() + b"{\n")
    assert show(capture, as_json=False) == 1
    printed = capsys.readouterr()
    assert "22 lines" in printed.out
    assert "line 23: Invalid JSON" in printed.err
    assert "what comes before it was read" in printed.err


@pytest.mark.parametrize("content", [None, b"hello"])
def test_what_cannot_be_read_is_an_error(
    tmp_path: Path, capsys: Captured, content: bytes | None
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    new = tmp_path / "new.pcap"
    assert show(file, as_json=False) == 1
    assert convert(file, new, keep_identity=False) == 1
    assert to_test(file, "test", tmp_path, "device") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count(str(file)) == 3
    assert not new.exists()


def test_convert_says_what_packets_cannot(capture: Path, tmp_path: Path, capsys: Captured) -> None:
    assert convert(capture, tmp_path / "new.btsnoop", keep_identity=False) == 0
    shown = capsys.readouterr().out
    assert "22 lines; addresses, names and serial numbers are replaced" in shown
    assert "attempts to connect that failed (1 lines, the first at 5.000000 s)" in shown


def test_convert_replaces_no_file(capture: Path, capsys: Captured) -> None:
    assert convert(capture, capture, keep_identity=False) == 1
    assert "exists, expected a new file" in capsys.readouterr().err


def test_convert_wants_a_known_end(capture: Path, tmp_path: Path, capsys: Captured) -> None:
    assert convert(capture, tmp_path / "new", keep_identity=False) == 1
    assert "expected a name that ends with" in capsys.readouterr().err


def test_convert_into_a_missing_folder(capture: Path, tmp_path: Path, capsys: Captured) -> None:
    assert convert(capture, tmp_path / "no" / "new.pcap", keep_identity=False) == 1
    assert "no/new.pcap: No such file or directory" in capsys.readouterr().err


def test_to_test_says_that_it_has_to_be_confirmed(
    capture: Path, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    assert to_test(capture, "a-strap", folder, "device") == 0
    shown = capsys.readouterr().out
    assert f"{folder}/captures/a-strap/expected.toml: 1 measurements" in shown
    assert "CI refuses them until" in shown


def test_to_test_says_why_there_is_none(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "x.jsonl", [START, Advertised(**times(1), device="x")])
    assert to_test(file, "test", tmp_path, "device") == 1
    assert "healthd measures nothing in it" in capsys.readouterr().err
