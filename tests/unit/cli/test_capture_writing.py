"""The file that ``healthd capture`` writes."""

import stat
from pathlib import Path

import pytest

from healthd.cli.capture_writing import CaptureFile
from healthd.traffic.codec import lines
from healthd.traffic.lines import Advertised, Line, Read
from tests.unit.cli.captured import ADVERTISED, DEVICE, START, when

SERIAL = Read(**when(2), device=DEVICE, link=1, uuid="2a25", handle=9, value=b"8A2B44C1")
EARLY = ADVERTISED.model_copy(
    update={"name": "Strap", "manufacturer_data": {"006b": b"\1" + b"8A2B44C1"}}
)


def read(file: Path) -> list[Line]:
    return list(lines(file.read_bytes().splitlines()))


def test_each_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with CaptureFile(file, keep_identity=True) as written:
        written.write(START)
        written.write(ADVERTISED)
        assert read(file) == [START, ADVERTISED]
        assert written.count == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_learned_is_replaced_in_earlier_lines_at_once(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with CaptureFile(file, keep_identity=False) as written:
        for line in (START, EARLY, SERIAL):
            written.write(line)
        assert b"8A2B44C1".hex().encode() not in file.read_bytes()
        written.write(EARLY)
    _, first, _, second = read(file)
    assert isinstance(first, Advertised)
    assert isinstance(second, Advertised)
    assert first.manufacturer_data == second.manufacturer_data == {"006b": b"\1" + b"00000001"}
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_existing_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        CaptureFile(file, keep_identity=False)
    assert file.read_text() == "mine"
