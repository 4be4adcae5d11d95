"""``healthd capture convert``: other formats, without identity."""

from pathlib import Path
from typing import Any

import pytest

from healthd.capture.conversion import convert
from healthd.capture.reading import read
from healthd.traffic.codec import BadCapture, encode
from healthd.traffic.lines import Advertised, Connected, Line, Notified, Read, Start
from tests.support.capture_lines import SERVICES, START, session, times

ADDRESS = "AC:23:3F:00:12:34"


def written(folder: Path, lines: list[Line]) -> Path:
    file = folder / "capture.jsonl"
    file.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return file


def of_a_person() -> list[Line]:
    link: dict[str, Any] = {"device": ADDRESS, "link": 1}
    return [
        START.model_copy(update={"identity": "kept"}),
        Connected(**times(1), **link),
        Notified(**times(2), **link, uuid=None, handle=8, value=b"by Strap 4711"),
        Read(**times(3), **link, uuid="2a00", handle=3, value=b"Strap 4711"),
        Advertised(**times(4), device=ADDRESS, name="Strap 4711", rssi_dbm=-50),
    ]


@pytest.mark.parametrize("name", ["new.jsonl", "new.btsnoop", "btsnoop_hci.log", "a.cfa", "a.pcap"])
def test_a_log_can_be_attached_to_a_report(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, of_a_person())
    out = tmp_path / name
    converted = convert(file, out, keep_identity=False)
    assert (converted.lines, converted.problem) == (5, "")
    data = out.read_bytes()
    address = bytes.fromhex(ADDRESS.replace(":", ""))
    for secret in (b"4711", b"34373131", address, address[::-1], ADDRESS.encode()):
        assert secret not in data
    values = [line.value for line in read(out) if isinstance(line, Notified)]
    assert len(values) == 1
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["new.jsonl", "new.pcap"])
def test_identity_can_be_kept(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    convert(written(tmp_path, of_a_person()), out, keep_identity=True)
    lines = list(read(out))
    assert isinstance(lines[0], Start)
    assert lines[0].identity == "kept"
    assert [line.device for line in lines if isinstance(line, Connected)] == [ADDRESS]
    assert [line.name for line in lines if isinstance(line, Advertised)] == ["Strap 4711"]


def test_packets_become_lines_again(tmp_path: Path) -> None:
    file = written(tmp_path, session())
    log, again = tmp_path / "a.log", tmp_path / "again.jsonl"
    assert len(convert(file, log, keep_identity=True).unsaid) == 4
    assert convert(log, again, keep_identity=True).unsaid == []
    assert [(line.what, line.t) for line in read(again) if not isinstance(line, Start)] == [
        (line.what, line.t) for line in read(log) if not isinstance(line, Start)
    ]
    assert any(getattr(line, "services", None) == SERVICES for line in read(again))


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    file = written(tmp_path, session())
    before = file.read_bytes()
    with pytest.raises(FileExistsError):
        convert(file, file, keep_identity=False)
    assert file.read_bytes() == before


def test_an_unknown_end_of_the_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends with \.jsonl"):
        convert(written(tmp_path, session()), tmp_path / "new.txt", keep_identity=False)
    assert not (tmp_path / "new.txt").exists()


def test_what_comes_before_the_damage_is_written(tmp_path: Path) -> None:
    file = written(tmp_path, session())
    file.write_bytes(file.read_bytes() + b'{"what":"weather"}\n')
    converted = convert(file, tmp_path / "new.jsonl", keep_identity=False)
    assert converted.lines == len(session())
    assert converted.problem.startswith(f"line {len(session()) + 1}: ")


@pytest.mark.parametrize("data", [b"", b"hello", b"btsnoop\0", b"\xff" * 100])
def test_something_else_makes_no_file(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "something"
    file.write_bytes(data)
    with pytest.raises(BadCapture):
        convert(file, tmp_path / "new.jsonl", keep_identity=False)
    assert not (tmp_path / "new.jsonl").exists()
