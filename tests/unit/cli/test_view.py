"""Samples for people."""

from io import StringIO
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from healthd.cli.view import Lines, LiveTable, view
from healthd.mqtt.acked_client import Message

DEVICE = "healthd/home/device"


def message(topic: str, payload: object) -> Message:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Message(topic, raw, retained=False)


def drawn(*messages: Message) -> list[list[str]]:
    """The table's rows, cell by cell."""
    table = LiveTable("title", "caption")
    for one in messages:
        table.show(one)
    out = StringIO()
    Console(file=out, width=200, color_system=None).print(table)
    assert "title" in out.getvalue()
    assert "caption" in out.getvalue()
    rows = [line for line in out.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_lines_are_topic_and_payload(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show(message("healthd/home/status", b"online"))
    Lines().show(message("x", b"\xff{"))
    assert capsys.readouterr().out == "healthd/home/status online\nx \ufffd{\n"


def test_off_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with view("title", "caption", "info") as shown:
        shown.show(message("a/b", {"x": 1}))
    assert capsys.readouterr().out == 'a/b {"x":1}\n'


def test_a_long_list_is_shown_by_its_end() -> None:
    (row,) = drawn(message(f"{DEVICE}/strap/ecg", {"ecg_uv": [*range(73)]}))
    assert row[4] == "ecg_uv 73 values … 65 66 67 68 69 70 71 72"


def test_a_row_a_stream_with_its_newest_sample() -> None:
    sample = {"id": "a-1", "time": "2026", "clock": "synced", "seq": 1}
    heart_rate = f"{DEVICE}/strap/heart_rate"
    battery, row = drawn(
        message(f"{DEVICE}/strap/info", {"name": "Polar H10", "state": "streaming"}),
        message(f"{DEVICE}/strap/status", b"online"),
        message(heart_rate, sample | {"heart_rate_bpm": 71}),
        message(heart_rate, sample | {"heart_rate_bpm": 72, "rr_intervals_ms": [812.5, 803.74]}),
        message(f"{DEVICE}/strap/battery", sample | {"level_pct": None}),
    )
    assert battery[:3] == ["strap", "Polar H10", "streaming"]
    assert battery[3:6] == ["battery", "level_pct none", "1"]
    assert row[:3] == ["", "", ""]
    assert row[3:6] == ["heart_rate", "heart_rate_bpm 72  rr_intervals_ms 812.5 803.7", "2"]
    assert row[6].endswith(" s")


def test_a_peripheral_without_samples_shows_its_state() -> None:
    (row,) = drawn(message(f"{DEVICE}/strap/info", {"state": "waiting", "reason": "link_lost"}))
    assert row == ["strap", "", "waiting (link_lost)", "", "", "", ""]


def test_a_peripheral_without_info_shows_its_samples() -> None:
    (row,) = drawn(message(f"{DEVICE}/strap/heart_rate", {"heart_rate_bpm": 72}))
    assert row[:6] == ["strap", "", "", "heart_rate", "heart_rate_bpm 72", "1"]


def test_peripherals_in_alphabetical_order() -> None:
    rows = drawn(*(message(f"{DEVICE}/{name}/battery", {}) for name in ("b", "c", "a")))
    assert [row[0] for row in rows] == ["a", "b", "c"]


def test_what_is_no_peripherals_is_not_in_the_table() -> None:
    assert drawn(message("healthd/home/status", b"online"), message("healthd/home/info", {})) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (803.74, "803.7"),
        (2.80555, "2.806"),
        (48.86259, "48.86"),
        (67.0, "67"),
        ([], "none"),
        ("[bold]", "[bold]"),
        ("ends\\", "ends\\"),
        ({"a": 1}, "…"),
    ],
)
def test_value_for_people(value: object, text: str) -> None:
    (row,) = drawn(message(f"{DEVICE}/strap/x", {"key": value}))
    assert row[4] == f"key {text}"


@pytest.mark.parametrize("key", ["[/]", "[/bold]", "[red]x[/red]", "back\\"])
def test_a_key_is_shown_as_it_is(key: str) -> None:
    (row,) = drawn(message(f"{DEVICE}/strap/x", {key: 1}))
    assert row[4] == f"{key} 1"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"null", b"[]", b"5", b'"x"', b"{", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"],
    ids=lambda payload: repr(payload[:8]),
)
@pytest.mark.parametrize("stream", ["info", "status", "heart_rate", "undecoded/2a37"])
def test_junk_is_survived(payload: bytes, stream: str) -> None:
    drawn(message(f"{DEVICE}/strap/{stream}", payload))


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    level=st.text(max_size=8),
    stream=st.sampled_from(["info", "status", "heart_rate"]),
    payload=json,
)
def test_any_payload_can_be_drawn(level: str, stream: str, payload: Any) -> None:
    table = LiveTable("title", "caption")
    table.show(Message(f"{DEVICE}/{level}/{stream}", orjson.dumps(payload), retained=False))
    Console(file=StringIO(), width=200).print(table)
