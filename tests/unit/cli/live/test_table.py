"""The live table as a terminal shows it."""

import re
import time
from io import StringIO
from typing import Any
from unicodedata import category

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from healthd.cli.live.table import LiveTable
from healthd.mqtt.arrivals import Message
from healthd.samples import utc_text

DEVICE = "healthd/home/device"


def message(topic: str, payload: object, *, retained: bool = False) -> Message:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Message(topic, raw, retained)


def table_of(*messages: Message) -> LiveTable:
    table = LiveTable("title", "caption", "healthd", {"weight"})
    table.set_broker_fault(None)
    for each in messages:
        table.show(each)
    return table


def drawn(table: LiveTable, width: int = 250, height: int = 40) -> list[str]:
    """Return the lines that a terminal of this size shows."""
    out = StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def rows(*messages: Message) -> list[str]:
    """Return the words of the table's rows without rates and ages of the test's own timing."""
    title, _, rule, *lines, caption = drawn(table_of(*messages))
    assert (title.strip(), caption.strip(), set(rule)) == ("title", "caption", {"─"})
    # Rates and small ages depend on the speed of the test.
    return [" ".join(re.sub(r"\d+(\.\d)?/s|\d\.\d s", "", line).split()) for line in lines]


def sample(seq: int, **values: Any) -> dict[str, Any]:
    return {"id": f"a-{seq}", "time": "2026", "clock": "synced", "seq": seq, **values}


def test_each_stream_has_a_row_with_its_newest_sample() -> None:
    heart_rate = f"{DEVICE}/strap/heart_rate"
    assert rows(
        message(f"{DEVICE}/strap/info", {"name": "Polar H10", "state": "streaming"}),
        message(f"{DEVICE}/strap/status", b"online"),
        message(heart_rate, sample(1, heart_rate_bpm=71)),
        message(heart_rate, sample(2, heart_rate_bpm=75, rr_intervals_ms=[812.5, 803.74])),
        message(f"{DEVICE}/strap/battery", sample(1, level_pct=95)),
        message(f"{heart_rate}/history", sample(3, heart_rate_bpm=70)),
        message(
            "healthd/home/event/gap",
            {"peripheral": "strap", "stream": "heart_rate", "reason": "link_lost"},
        ),
    ) == [
        "strap Polar H10 streaming battery level 95 % ▄ 1",
        "heart_rate 75 bpm rr intervals 812.5 803.7 ms ▁█ 2 1 1 link_lost",
    ]


def test_headings() -> None:
    (_, headings, *_) = drawn(table_of())
    assert headings.split() == ["peripheral", "state", "stream", "newest", "age"]


@pytest.mark.parametrize(
    ("info", "row"),
    [
        ({"state": "waiting", "reason": "link_lost"}, "strap waiting (link_lost)"),
        ({"state": "waiting"}, "strap waiting"),
        ({"state": "searching", "name": None}, "strap searching"),
        ({"state": "streaming", "name": "\x1b[2J"}, "strap ?[2J streaming"),
    ],
)
def test_a_peripheral_without_samples_shows_its_state(info: dict[str, Any], row: str) -> None:
    assert rows(message(f"{DEVICE}/strap/info", info)) == [row]


def test_a_periodic_peripheral_shows_when_it_is_due() -> None:
    due = utc_text(time.time_ns() + 90 * 60 * 10**9)
    info = {"state": "waiting", "fetch": {"outcome": "no_data", "next_due": due}}
    assert rows(message(f"{DEVICE}/scale/info", info)) == ["scale waiting (due in 90 min)"]


def test_peripherals_are_in_alphabetical_order() -> None:
    found = rows(*(message(f"{DEVICE}/{name}/x", {}) for name in ("b", "c", "a")))
    assert [row.split()[0] for row in found] == ["a", "b", "c"]


def test_several_gateways_have_a_column() -> None:
    info = {"state": "streaming"}
    assert rows(
        message("healthd/b/device/strap/info", info),
        message("healthd/a/device/strap/info", info),
        message("healthd/b/status", b"offline"),
    ) == ["a strap streaming", "b strap offline (gateway)"]


def test_a_retained_result_shows_its_age() -> None:
    hours = utc_text(time.time_ns() - 5 * 3600 * 10**9)
    old = {"id": "a-1", "time": hours, "clock": "synced", "weight_kg": 81.25}
    unknown = {"id": "a-1", "time": hours, "clock": "unsynced", "weight_kg": 81.25}
    assert rows(
        message(f"{DEVICE}/new/weight", old, retained=True),
        message(f"{DEVICE}/unset/weight", unknown, retained=True),
    ) == ["new weight 81.25 kg 5 h ▄ 1", "unset weight 81.25 kg ? ▄ 1"]


def test_a_lost_broker_is_shown_instead_of_the_caption() -> None:
    table = table_of(message(f"{DEVICE}/strap/info", {"state": "streaming"}))
    table.set_broker_fault("Connection refused\x1b[2J")
    away = drawn(table)[-1].strip()
    assert re.fullmatch(
        r"no connection to the broker for \d\.\d s: Connection refused\?\[2J; retrying", away
    )
    assert "strap" in drawn(table)[3]
    table.set_broker_fault(None)
    assert drawn(table)[-1].strip() == "caption"


def test_before_the_first_connection_the_broker_is_shown_as_missing() -> None:
    assert "no connection to the broker" in drawn(LiveTable("title", "caption", "healthd"))[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160, 400])
def test_a_row_is_one_line_at_any_width(width: int) -> None:
    strap = f"{DEVICE}/a-peripheral-with-a-very-long-name"
    table = table_of(
        message(f"{strap}/info", {"name": "A name from the air, 16 m", "state": "streaming"}),
        message(f"{strap}/intermediate_cuff_pressure", {"cuff_pressure_mmhg": 120.5}),
        message(f"{strap}/treadmill", {"speed_mps": 2.631, "inclination_pct": 1.5, "x": "y" * 99}),
    )
    title, headings, rule, cuff, treadmill, caption = drawn(table, width)
    assert max(map(len, (title, headings, rule, cuff, treadmill, caption))) <= width
    assert "cuff pressure 120.5 mmHg" in cuff or "120.5 mmHg" in cuff or width < 60
    assert ("y" * 99 in treadmill) == (width == 400)


def test_hidden_rows_are_counted() -> None:
    table = table_of(*(message(f"{DEVICE}/strap-{n:02}/x", {}) for n in range(30)))
    lines = drawn(table, height=20)
    assert len(lines) <= 20
    assert lines[-1].strip() == "16 more rows: enlarge the terminal to see them"
    assert "strap-13" in lines[-3]


@pytest.mark.parametrize("text", ["[/]", "[/bold]", "[red]x[/red]", "back\\", "ends\\"])
def test_text_is_shown_as_it_is(text: str) -> None:
    assert rows(message(f"{DEVICE}/strap/x", {text: text})) == [f"strap x {text} {text} 1"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"null", b"[]", b"5", b'"x"', b"{", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"],
    ids=lambda payload: repr(payload[:8]),
)
@pytest.mark.parametrize("stream", ["info", "status", "heart_rate", "undecoded/2a37"])
def test_invalid_payloads_are_counted(payload: bytes, stream: str) -> None:
    lines = drawn(table_of(message(f"{DEVICE}/strap/{stream}", payload)))
    counted = "1 messages are not readable" in lines[-1]
    assert counted == (payload != b"" and stream != "status")
    assert "caption" in lines[-2 if counted else -1]


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@example(level="\xa00", stream="info", payload=None)
@given(
    level=st.text(max_size=8),
    stream=st.sampled_from(["info", "status", "heart_rate"]),
    payload=json,
)
def test_any_payload_can_be_drawn(level: str, stream: str, payload: Any) -> None:
    table = table_of(Message(f"{DEVICE}/{level}/{stream}", orjson.dumps(payload), retained=False))
    lines = drawn(table)
    assert len(lines) <= 6
    shown = {char for line in lines for char in line}
    assert all(char.isprintable() or category(char) == "Zs" for char in shown)


HOSTILE = "Zq\x1b]2;x\x07\x9b\u202e\u200b\u2028\U000e0041\ufe0f\u3164\n" + "e" + "\u0301" * 50


def test_a_board_full_of_hostile_text_is_drawn_within_the_terminal() -> None:
    info = {"name": HOSTILE * 9, "state": HOSTILE * 9, "reason": HOSTILE * 9}
    messages = [
        each
        for n in range(400)
        for each in (
            message(f"healthd/{HOSTILE}/device/{HOSTILE}{n}/info", info),
            message(f"healthd/{HOSTILE}/device/{HOSTILE}{n}/{HOSTILE}", {HOSTILE: HOSTILE * 99}),
        )
    ]
    lines = drawn(table_of(*messages), width=100, height=40)
    assert len(lines) <= 40
    assert all(cell_len(line) <= 100 for line in lines)
    assert all(line.isprintable() for line in lines)
    assert any("messages not shown" in line for line in lines)
