"""Messages as lines."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from healthd.cli.live.view import JsonLines, Lines, Unread, view
from healthd.mqtt.arrivals import Message


def message(topic: str, payload: object, *, retained: bool = False) -> Message:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Message(topic, raw, retained)


def test_lines_are_topic_and_payload(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show(message("healthd/home/status", b"online"))
    Lines().show(message("x", b"\xff{"))
    assert capsys.readouterr().out == "healthd/home/status online\nx \ufffd{\n"


async def test_off_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    async with view("title", "caption", "info", "healthd") as shown:
        shown.show(message("a/b", {"x": 1}))
        shown.on_broker("gone")
    assert capsys.readouterr().out == 'a/b {"x":1}\n'


def test_a_reader_that_is_gone_is_told_once_and_costs_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        with pytest.raises(Unread):
            Lines().show(message("healthd/home/status", b"online"))
        # What Python does at its end, with what is left in the buffer.
        out.flush()


SAMPLE = {"id": "a-1", "heart_rate_bpm": 72}
HOME = {"gateway": "home", "peripheral": None, "history": False}
STRAP = {"gateway": "home", "peripheral": "strap", "stream": "heart_rate"}


@pytest.mark.parametrize(
    ("topic", "payload", "told"),
    [
        ("a/b/home/status", b"online", HOME | {"stream": "status", "payload": "online"}),
        ("a/b/home/event/gap", SAMPLE, HOME | {"stream": "event/gap", "payload": SAMPLE}),
        (
            "a/b/home/device/strap/heart_rate",
            SAMPLE,
            STRAP | {"history": False, "payload": SAMPLE},
        ),
        (
            "a/b/home/device/strap/heart_rate/history",
            SAMPLE,
            STRAP | {"history": True, "payload": SAMPLE},
        ),
        (
            "a/b/nobody",
            b"\xff{",
            {
                **dict.fromkeys(("gateway", "peripheral", "stream")),
                "history": False,
                "payload": "\ufffd{",
            },
        ),
    ],
)
async def test_a_json_object_for_each_message(
    topic: str, payload: object, told: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with view("title", "caption", "info", "a/b", as_json=True) as shown:
        assert isinstance(shown, JsonLines)
        shown.show(message(topic, payload, retained=True))
        # Whoever reads need not wait for more.
        line = orjson.loads(capsys.readouterr().out)
    arrived = datetime.fromisoformat(line.pop("arrived"))
    assert timedelta(0) <= datetime.now(UTC) - arrived < timedelta(seconds=20)
    assert line == {"topic": topic, "retained": True, **told}
