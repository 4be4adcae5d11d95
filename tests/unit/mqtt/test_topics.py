"""Every topic, spelt as other programs are promised."""

import pytest

from healthd.mqtt.topics import Topics

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
