"""The record of retained topics, kept until the broker has cleared them."""

import asyncio
from pathlib import Path

import orjson
import pytest

from healthd.mqtt.announced import FILE_NAME as ANNOUNCED
from healthd.mqtt.announced import Announced
from healthd.mqtt.retained_topics import FILE_NAME, RetainedTopics

STATUS, WEIGHT = "healthd/home/device/scale/status", "healthd/home/device/scale/weight"


@pytest.fixture
def topics(tmp_path: Path) -> RetainedTopics:
    topics = RetainedTopics(tmp_path)
    topics.add("scale", STATUS)
    assert topics.note_retained("scale", WEIGHT)
    return topics


async def test_the_next_run_knows_removed_peripherals(
    topics: RetainedTopics, tmp_path: Path
) -> None:
    topics.add("strap", "healthd/home/device/strap/status")
    await topics.save()
    again = RetainedTopics(tmp_path)
    again.add("strap", "healthd/home/device/strap/status")
    assert set(again.removed_peripherals()) == {"scale"}
    assert again.remove("scale") == [STATUS, WEIGHT]
    # A topic stays recorded until the broker has acknowledged its removal.
    for topic in (STATUS, WEIGHT):
        assert again.remove("scale")
        again.forget("scale", topic)
    await again.save()
    assert not RetainedTopics(tmp_path).remove("scale")


async def test_the_file_is_written_when_a_topic_is_new_and_only_then(
    topics: RetainedTopics, tmp_path: Path
) -> None:
    running = asyncio.create_task(topics.run(lambda: None))
    file = tmp_path / FILE_NAME
    await asyncio.sleep(0)  # it starts to write, and finishes that before it ends
    running.cancel()
    await asyncio.wait([running])
    assert orjson.loads(file.read_bytes()) == {"scale": [STATUS, WEIGHT]}
    file.unlink()
    assert topics.note_retained("scale", WEIGHT)
    await topics.save()
    assert not file.exists()


def test_nothing_may_be_retained_for_a_removed_peripheral(topics: RetainedTopics) -> None:
    topics.remove("scale")
    assert not topics.note_retained("scale", WEIGHT)
    assert not topics.note_retained("unknown", WEIGHT)
    assert not topics.note_retained("", "healthd/home/event/gap")
    topics.add("scale")
    assert topics.note_retained("scale", WEIGHT)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"scale": 5}', b'{"scale": "status"}', b'{"scale": ["#", 5]}'],
)
def test_an_unreadable_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    topics = RetainedTopics(tmp_path)
    removed = topics.removed_peripherals()
    assert [topic for peripheral in removed for topic in topics.remove(peripheral)] == []


async def test_topics_of_people_who_left_the_settings_are_to_be_cleared(
    topics: RetainedTopics, tmp_path: Path
) -> None:
    anna, bert = (f"healthd/home/device/scale/person/{one}/weight" for one in ("anna", "bert"))
    assert topics.use_people(["anna", "bert"]) == []
    assert topics.note_retained("scale", anna)
    assert topics.note_retained("scale", bert)
    assert topics.use_people(["anna"]) == [("scale", bert)]
    # What is delivered late is not retained again.
    assert not topics.note_retained("scale", bert)
    assert topics.note_retained("scale", anna)
    assert topics.note_retained("scale", WEIGHT)
    await topics.save()
    # The next run knows it, too, until the broker has cleared it.
    again = RetainedTopics(tmp_path)
    assert again.use_people(["anna"]) == [("scale", bert)]
    again.forget("scale", bert)
    assert again.use_people(["anna"]) == []


@pytest.mark.parametrize(
    "topic", ["a/devi#e/b", "a/+/b", "a/b\0", "a/b\x7f", "a/b\ufffe", "", "a/" + "b" * 65_534]
)
def test_a_topic_at_which_nothing_can_be_published_is_forgotten(tmp_path: Path, topic: str) -> None:
    """D2: a wrong bit in a file without a checksum ended each connection, at each start."""
    (tmp_path / FILE_NAME).write_bytes(orjson.dumps({"scale": [topic, WEIGHT]}))
    assert RetainedTopics(tmp_path).remove("scale") == [WEIGHT]
    announced = {"topics": {topic: {"a": "sensor"}, WEIGHT: {}}}
    (tmp_path / ANNOUNCED).write_bytes(orjson.dumps(announced))
    assert list(Announced(tmp_path).topics) == [WEIGHT]
