"""Messages as lines and as JSON."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from healthd.cli.live.view import JsonLines, Lines, ReaderGone, view
from healthd.mqtt.arrivals import Message


def message(topic: str, payload: object, *, retained: bool = False) -> Message:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Message(topic, raw, retained)


def test_lines_are_topic_and_payload(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show(message("healthd/home/status", b"online"))
    Lines().show(message("x", b"\xff{"))
    assert capsys.readouterr().out == "healthd/home/status online\nx \ufffd{\n"


async def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    async with view("title", "caption", "info", "healthd") as messages:
        messages.show(message("a/b", {"x": 1}))
        messages.set_broker_fault("gone")
    assert capsys.readouterr().out == 'a/b {"x":1}\n'


def test_a_closed_pipe_raises_once_and_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        with pytest.raises(ReaderGone):
            Lines().show(message("healthd/home/status", b"online"))
        # Python does this at its end with the rest of the buffer.
        out.flush()


SAMPLE = {"id": "a-1", "heart_rate_bpm": 72}
HOME = {"gateway": "home", "peripheral": None, "history": False}
STRAP = {"gateway": "home", "peripheral": "strap", "stream": "heart_rate"}


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
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
            "a/b/unknown",
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
    topic: str, payload: object, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with view("title", "caption", "info", "a/b", as_json=True) as messages:
        assert isinstance(messages, JsonLines)
        messages.show(message(topic, payload, retained=True))
        # Each line is flushed at once.
        line = orjson.loads(capsys.readouterr().out)
    arrived = datetime.fromisoformat(line.pop("arrived"))
    assert timedelta(0) <= datetime.now(UTC) - arrived < timedelta(seconds=20)
    assert line == {"topic": topic, "retained": True, **expected}


@pytest.mark.parametrize("depth", [65, 300, 2000])
@pytest.mark.parametrize("form", ["[]", "{}"])
async def test_a_payload_nested_too_deeply_is_a_row_of_text(
    depth: int, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, end = ("[", "]") if form == "[]" else ('{"a":', "}")
    nested = begin * depth + "1" + end * depth
    async with view("title", "caption", "info", "healthd", as_json=True) as messages:
        messages.show(message("healthd/home/device/strap/heart_rate", nested.encode()))
        messages.show(message("healthd/home/device/strap/heart_rate", SAMPLE))
    deep, next_one = map(orjson.loads, capsys.readouterr().out.splitlines())
    assert deep["payload"] == nested
    assert next_one["payload"] == SAMPLE


async def test_json_nested_like_ours_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    nested = {"a": [[{"b": [1]}]]}
    async with view("title", "caption", "info", "healthd", as_json=True) as messages:
        messages.show(message("x", nested))
    assert orjson.loads(capsys.readouterr().out)["payload"] == nested


@pytest.mark.parametrize("as_json", [True, False])
async def test_what_is_not_plain_text_is_escaped_and_means_the_same(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = {"Müller\u202e": "\u200b\x9b31m\u2028\U000e0041"}
    async with view("title", "caption", "info", "healthd", as_json=as_json) as messages:
        messages.show(message("x/\u202e\u2066\x9b", payload))
        messages.show(message("x/y", b"a\x1b[2J\nb"))
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    first, second = out.splitlines()
    if as_json:
        first, second = orjson.loads(first), orjson.loads(second)
        assert (first["topic"], first["payload"]) == ("x/\u202e\u2066\x9b", payload)
        assert second["payload"] == "a\x1b[2J\nb"
    else:
        topic, text = first.split(" ")
        assert (topic, orjson.loads(text)) == ("x/\\u202e\\u2066\\u009b", payload)
        assert second == "x/y a\\u001b[2J\\u000ab"
