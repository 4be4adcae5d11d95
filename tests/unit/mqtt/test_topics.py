"""Every topic, as documented for other programs."""

import pytest

from healthd.mqtt.topics import Place, Topics, place_of

TOPICS = Topics("healthd", "living-room")


@pytest.mark.parametrize(
    ("topic", "spelt"),
    [
        (TOPICS.status, "healthd/living-room/status"),
        (TOPICS.info, "healthd/living-room/info"),
        (TOPICS.health, "healthd/living-room/health"),
        (TOPICS.device_status("strap"), "healthd/living-room/device/strap/status"),
        (TOPICS.device_info("strap"), "healthd/living-room/device/strap/info"),
        (TOPICS.sample("strap", "heart_rate"), "healthd/living-room/device/strap/heart_rate"),
        (
            TOPICS.history("strap", "heart_rate"),
            "healthd/living-room/device/strap/heart_rate/history",
        ),
        (
            TOPICS.sample("strap", "undecoded/2a37"),
            "healthd/living-room/device/strap/undecoded/2a37",
        ),
        (TOPICS.sample("", "event/gap"), "healthd/living-room/event/gap"),
        (TOPICS.history("", "event/gap"), "healthd/living-room/event/gap"),
    ],
)
def test_topic(topic: str, spelt: str) -> None:
    assert topic == spelt


def test_prefix_may_have_levels() -> None:
    assert Topics("home/health", "x").status == "home/health/x/status"


@pytest.mark.parametrize("prefix", ["healthd", "home/health"])
@pytest.mark.parametrize("stream", ["heart_rate", "undecoded/2a37", "event/gap"])
@pytest.mark.parametrize("peripheral", ["", "strap", "device"])
def test_a_topic_is_parsed_into_its_parts(prefix: str, stream: str, peripheral: str) -> None:
    topics = Topics(prefix, "attic")
    live = place_of(topics.sample(peripheral, stream), prefix)
    assert live == Place("attic", peripheral, stream, history=False)
    late = place_of(topics.history(peripheral, stream), prefix)
    assert late == Place("attic", peripheral, stream, history=bool(peripheral))


def test_retained_topics_are_parsed_as_well() -> None:
    assert place_of(TOPICS.status, "healthd") == Place("living-room", "", "status", history=False)
    found = place_of(TOPICS.device_info("strap"), "healthd")
    assert found == Place("living-room", "strap", "info", history=False)


@pytest.mark.parametrize(
    "topic",
    [
        *("", "healthd", "healthd/", "healthd/x", "healthd//status", "other/x/status"),
        *("healthdx/y/z", "healthd/x/device/strap", "healthd/x/device//heart_rate"),
    ],
)
def test_other_topics_are_not_parsed(topic: str) -> None:
    assert place_of(topic, "healthd") is None
