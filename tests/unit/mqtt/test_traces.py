"""What is remembered of retained topics, until the broker has been told to forget them."""

import asyncio
from pathlib import Path

import orjson
import pytest

from healthd.mqtt.traces import FILE_NAME, Traces

STATUS, WEIGHT = "healthd/home/device/scale/status", "healthd/home/device/scale/weight"


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    traces = Traces(tmp_path)
    traces.add("scale", STATUS)
    assert traces.note_retained("scale", WEIGHT)
    return traces


async def test_the_next_run_knows_who_has_gone(traces: Traces, tmp_path: Path) -> None:
    traces.add("strap", "healthd/home/device/strap/status")
    await traces.keep()
    again = Traces(tmp_path)
    again.add("strap", "healthd/home/device/strap/status")
    assert set(again.strangers()) == {"scale"}
    assert again.remove("scale") == [STATUS, WEIGHT]
    # Until the broker has said so it counts as not done.
    for topic in (STATUS, WEIGHT):
        assert again.remove("scale")
        again.forget("scale", topic)
    await again.keep()
    assert not Traces(tmp_path).remove("scale")


async def test_it_is_written_when_something_new_is_left_and_only_then(
    traces: Traces, tmp_path: Path
) -> None:
    running = asyncio.create_task(traces.run(lambda: None))
    file = tmp_path / FILE_NAME
    await asyncio.sleep(0)  # it begins to write; ended, it is done with that first
    running.cancel()
    await asyncio.wait([running])
    assert orjson.loads(file.read_bytes()) == {"scale": [STATUS, WEIGHT]}
    file.unlink()
    assert traces.note_retained("scale", WEIGHT)
    await traces.keep()
    assert not file.exists()


def test_nothing_may_be_left_of_one_that_is_gone(traces: Traces) -> None:
    traces.remove("scale")
    assert not traces.note_retained("scale", WEIGHT)
    assert not traces.note_retained("never-heard-of", WEIGHT)
    assert not traces.note_retained("", "healthd/home/event/gap")
    traces.add("scale")
    assert traces.note_retained("scale", WEIGHT)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"scale": 5}', b'{"scale": "status"}', b'{"scale": ["#", 5]}'],
)
def test_one_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    traces = Traces(tmp_path)
    assert [topic for one in traces.strangers() for topic in traces.remove(one)] == []
