"""The parts that the daemon keeps, as one capture."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from healthd.cli.capture_stored import stored_lines
from healthd.traffic.codec import BadCapture, encode
from healthd.traffic.lines import (
    Connected,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Start,
)
from tests.unit.cli.captured import BEGAN, DEVICE, START, when


def start(run: str, seconds: float) -> Start:
    """Return the start of a part that began later than the first one."""
    time = BEGAN + timedelta(seconds=seconds)
    return START.model_copy(update={"healthd": {"run": run}, "time": time})


def link(seconds: float, number: int, *, joined: bool = False) -> list[Line]:
    of: dict[str, Any] = {**when(seconds), "device": DEVICE, "link": number}
    return [
        Connected(**of, joined=joined),
        Discovered(**of, services=()),
        MtuAgreed(**of, mtu=100),
    ]


def beat(seconds: float, number: int, value: bytes) -> Notified:
    return Notified(**when(seconds), device=DEVICE, link=number, uuid="2a37", handle=3, value=value)


def write(folder: Path, number: int, *found: Line, torn: bytes = b"") -> None:
    text = b"".join(encode(line) + b"\n" for line in found)
    (folder / f"{number:09d}-strap.jsonl").write_bytes(text + torn)


def test_parts_of_one_run_continue_the_link(tmp_path: Path) -> None:
    write(tmp_path, 1, start("a", 0), *link(1, 1), beat(2, 1, b"\1"))
    write(tmp_path, 2, start("a", 10), *link(0, 1, joined=True), beat(1, 1, b"\2"))
    found = list(stored_lines(tmp_path, "strap"))
    assert [line.what for line in found] == [
        *("start", "connected", "services", "mtu", "notification", "notification")
    ]
    assert [line.t for line in found] == [0, 1, 1, 1, 2, 11]


def test_another_run_has_other_links(tmp_path: Path) -> None:
    ended = Disconnected(**when(3), device=DEVICE, link=1)
    write(tmp_path, 1, start("a", 0), *link(1, 1), beat(2, 1, b"\1"), ended)
    write(tmp_path, 2, start("b", 10), *link(1, 1), beat(2, 1, b"\2"))
    found = list(stored_lines(tmp_path, "strap"))
    assert [line.link for line in found if isinstance(line, Connected)] == [1, 2]
    assert [line.link for line in found if isinstance(line, Notified)] == [1, 2]
    assert [line.t for line in found if isinstance(line, Notified)] == [2, 12]


def test_a_clock_that_was_set_back_does_not_set_times_back(tmp_path: Path) -> None:
    write(tmp_path, 1, start("a", 0), *link(1, 1), beat(20, 1, b"\1"))
    write(tmp_path, 2, start("a", -1000), *link(0, 1, joined=True), beat(1, 1, b"\2"))
    times = [line.t for line in stored_lines(tmp_path, "strap")]
    assert times == sorted(times)
    assert times[-1] == 21


def test_a_line_that_is_not_whole_is_missing(tmp_path: Path) -> None:
    write(tmp_path, 1, start("a", 0), *link(1, 1), torn=b'{"what":"not')
    write(tmp_path, 2, torn=b'{"wha')
    write(tmp_path, 3, start("b", 10))
    found = list(stored_lines(tmp_path, "strap"))
    assert [line.count for line in found if isinstance(line, Missing)] == [1, 1]


@pytest.mark.parametrize("torn", [b"", b'{"wha'])
def test_nothing_at_all(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path, 1, torn=torn)
    assert list(stored_lines(tmp_path, "strap")) == []
    assert list(stored_lines(tmp_path / "absent", "strap")) == []


def test_other_peripherals_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, 1, start("a", 0))
    assert list(stored_lines(tmp_path, "belt")) == []


@pytest.mark.parametrize("text", [b"{}\n", b"\xff\n", encode(beat(1, 1, b"")) + b"\n"])
def test_a_part_that_is_damaged(tmp_path: Path, text: bytes) -> None:
    write(tmp_path, 1, torn=text)
    with pytest.raises(BadCapture, match="line 1"):
        list(stored_lines(tmp_path, "strap"))
