"""Where a response may go; D24."""

import pytest

from healthd.mqtt.arrivals import Message
from healthd.mqtt.replies import ReplyTopics
from healthd.mqtt.topics import Topics

TOPICS = ReplyTopics(Topics("a/healthd", "gw"))
TOPICS.allow(("client", "a", "homeassistant", "home"), "home")


def refused(topic: str) -> str:
    message = Message("a/healthd/gw/request/scan", b"", False, topic)
    reply, problem = TOPICS.reply_to(message, None)
    if problem is not None:
        assert reply.topic == "a/healthd/gw/response/scan"
        return str(problem)
    assert reply.topic == topic
    return ""


@pytest.mark.parametrize(
    "topic", ["a/healthd/gw/response/x", "a/healthd/gw/response/x/y", "client/me", "a/b"]
)
def test_allowed_topics(topic: str) -> None:
    assert not refused(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "a/healthd/gw/response",
        "a/healthd/gw/status",
        "a/healthd/other/response/x",
        "a/healthd",
        "client",
        "other/x",
        "homeassistant/status",
        "home/device/gw/config",
        "$SYS/x",
        "client/+",
        "client/#",
        "client//x",
        "client/x/",
        "/client/x",
        "client/\x00",
        "client/" + "ä" * 128,
        "",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    assert "found the response topic" in refused(topic)


@pytest.mark.parametrize(
    ("transaction", "returned"),
    [("x" * 128, "x" * 128), ("x" * 129, None), (1, 1), (1.5, 1.5), (True, None), ([], None)],
)
def test_the_transaction_is_returned(transaction: object, returned: object) -> None:
    reply, problem = TOPICS.reply_to(Message("a/healthd/gw/request/a b", b"", False), transaction)
    assert problem is None
    assert (reply.topic, reply.transaction) == ("a/healthd/gw/response/unknown", returned)


def test_long_correlation_data_is_refused() -> None:
    message = Message("a/healthd/gw/request/scan", b"", False, "client/me", b"x" * 129)
    reply, problem = TOPICS.reply_to(message, None)
    assert "found 129 bytes of correlation data" in str(problem)
    assert (reply.topic, reply.correlation) == ("client/me", None)


def test_a_long_error_is_cut() -> None:
    reply, _ = TOPICS.reply_to(Message("a/healthd/gw/request/scan", b"", False), None)
    assert len(reply.error("x" * 5000)) < 1100
