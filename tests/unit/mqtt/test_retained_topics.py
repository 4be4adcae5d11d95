"""What is remembered of retained topics, until the broker has been told to forget them."""

import asyncio
from pathlib import Path

import orjson
import pytest

from healthd.mqtt.retained_topics import FILE_NAME, RetainedTopics

STATUS, WEIGHT = "healthd/home/device/scale/status", "healthd/home/device/scale/weight"


@pytest.fixture
def topics(tmp_path: Path) -> RetainedTopics:
    topics = RetainedTopics(tmp_path)
    topics.add("scale", STATUS)
    assert topics.note_retained("scale", WEIGHT)
    return topics


async def test_the_next_run_knows_who_has_gone(topics: RetainedTopics, tmp_path: Path) -> None:
    topics.add("strap", "healthd/home/device/strap/status")
    await topics.save()
    again = RetainedTopics(tmp_path)
    again.add("strap", "healthd/home/device/strap/status")
    assert set(again.removed_peripherals()) == {"scale"}
    assert again.remove("scale") == [STATUS, WEIGHT]
    # Until the broker has said so it counts as not done.
    for topic in (STATUS, WEIGHT):
        assert again.remove("scale")
        again.forget("scale", topic)
    await again.save()
    assert not RetainedTopics(tmp_path).remove("scale")


async def test_it_is_written_when_something_new_is_left_and_only_then(
    topics: RetainedTopics, tmp_path: Path
) -> None:
    running = asyncio.create_task(topics.run(lambda: None))
    file = tmp_path / FILE_NAME
    await asyncio.sleep(0)  # it begins to write; ended, it is done with that first
    running.cancel()
    await asyncio.wait([running])
    assert orjson.loads(file.read_bytes()) == {"scale": [STATUS, WEIGHT]}
    file.unlink()
    assert topics.note_retained("scale", WEIGHT)
    await topics.save()
    assert not file.exists()


def test_nothing_may_be_left_of_one_that_is_gone(topics: RetainedTopics) -> None:
    topics.remove("scale")
    assert not topics.note_retained("scale", WEIGHT)
    assert not topics.note_retained("never-heard-of", WEIGHT)
    assert not topics.note_retained("", "healthd/home/event/gap")
    topics.add("scale")
    assert topics.note_retained("scale", WEIGHT)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"scale": 5}', b'{"scale": "status"}', b'{"scale": ["#", 5]}'],
)
def test_one_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    topics = RetainedTopics(tmp_path)
    assert [topic for one in topics.removed_peripherals() for topic in topics.remove(one)] == []
