"""The files of ``[capture]``."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from healthd.gateway.capturing.recording import Recording
from healthd.gateway.capturing.ring import Numbers, RingFolder, RingSink, parts
from healthd.traffic.codec import lines
from healthd.traffic.lines import AdapterChanged, Missing, Start


def header() -> dict[str, Any]:
    return {}


@pytest.fixture
def folder(tmp_path: Path) -> RingFolder:
    ring = RingFolder(tmp_path / "capture", 10_000)
    ring.open()
    return ring


def names(tmp_path: Path) -> list[str]:
    return [part.file.name for part in parts(tmp_path / "capture")]


def test_the_oldest_file_makes_room_whatever_peripheral_it_is_of(
    folder: RingFolder, tmp_path: Path
) -> None:
    for number, peripheral in enumerate(("a", "b", "a", "a", "a"), start=1):
        folder.append(peripheral, number, b"x" * 3_000)
        size = sum(part.file.stat().st_size for part in parts(tmp_path / "capture"))
        assert size <= 10_000
    # The second one may get more lines.
    assert names(tmp_path) == ["000000002-b.jsonl", "000000004-a.jsonl", "000000005-a.jsonl"]
    folder.append("b", 6, b"x" * 3_000)
    folder.append("a", 7, b"x" * 3_000)
    assert names(tmp_path) == ["000000005-a.jsonl", "000000006-b.jsonl", "000000007-a.jsonl"]


def test_a_new_run_continues_the_numbers(folder: RingFolder, tmp_path: Path) -> None:
    folder.append("a", 1, b"1\n")
    again = RingFolder(tmp_path / "capture", 10_000)
    again.open()
    again.append("a", 1, b"2\n")
    assert names(tmp_path) == ["000000001-a.jsonl", "000000002-a.jsonl"]


def test_files_and_folder_are_private_and_others_are_left_alone(
    folder: RingFolder, tmp_path: Path
) -> None:
    other = tmp_path / "capture" / "notes.txt"
    other.write_text("x" * 20_000)
    folder.append("a", 1, b"1\n")
    (part,) = parts(tmp_path / "capture")
    assert stat.S_IMODE(part.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(part.file.parent.stat().st_mode) == 0o700
    assert other.exists()


def test_no_link_is_followed(folder: RingFolder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("important")
    (tmp_path / "capture" / "000000001-a.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        folder.append("a", 1, b"1\n")
    assert target.read_text() == "important"


def test_a_write_that_the_disk_cuts_off_is_undone(
    folder: RingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.append("a", 1, b"first\n")
    write = os.write

    def write_some(file: int, data: bytes) -> int:
        return write(file, data[:3])

    monkeypatch.setattr(os, "write", write_some)
    with pytest.raises(OSError, match="full"):
        folder.append("a", 1, b"second\n")
    monkeypatch.undo()
    assert parts(tmp_path / "capture")[0].file.read_bytes() == b"first\n"


def test_a_new_file_begins_when_one_has_its_part(tmp_path: Path) -> None:
    folder = RingFolder(tmp_path / "capture", 100_000)
    folder.open()
    sink = RingSink("a", 4_000, Numbers())
    recording = Recording(sink, header)
    recording.begin()
    while not sink.wants_start:
        recording.write(AdapterChanged, change="x", detail="x" * 100)
    recording.begin()
    recording.write(AdapterChanged, change="in the second")
    sink.write(folder, sink.collected())
    first, second = parts(tmp_path / "capture")
    # Each has some lines, whatever its size.
    assert len(first.file.read_bytes().splitlines()) == 100
    for part in (first, second):
        found = list(lines(part.file.read_bytes().splitlines()))
        assert isinstance(found[0], Start)
    assert sink.collected() == []


def test_what_a_disk_that_hangs_misses_is_counted() -> None:
    sink = RingSink("a", 100_000_000, Numbers())
    recording = Recording(sink, header)
    recording.begin()
    while not recording.missing:
        recording.write(AdapterChanged, change="x", detail="x" * 1000)
    waiting = sum(len(line) for _, line in sink.collected())
    assert waiting <= 512_000
    recording.write(AdapterChanged, change="after that")
    (missing, _) = sink.collected()
    found = Missing.model_validate_json(missing[1])
    assert found.count == 1


def test_no_file_is_without_a_start() -> None:
    sink = RingSink("a", 100_000_000, Numbers())
    recording = Recording(sink, header)
    recording.begin()
    while not recording.missing:
        recording.write(AdapterChanged, change="x", detail="x" * 1000)
    assert not sink.wants_start
    while recording.begin():
        pass
    assert sink.wants_start
    sink.collected()
    assert recording.begin()
    assert not sink.wants_start


def test_no_folder_has_no_files(tmp_path: Path) -> None:
    assert parts(tmp_path / "absent") == []
