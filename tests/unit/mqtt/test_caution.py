"""How healthd subscribes after connections that ended because of it."""

import pytest

from healthd.mqtt import faults
from healthd.mqtt.caution import Caution
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.reasons import Goodbye, disconnected

SILENT = faults.closed("broker:1883")


def ended_at_once(caution: Caution, times: int, fault: ConnectionLost = SILENT) -> None:
    """Let this many connections end before the SUBSCRIBE is answered."""
    for _ in range(times):
        caution.begin()
        caution.asked("a")
        caution.ended(fault)
    caution.begin()


@pytest.mark.parametrize(
    ("times", "qos", "wait_s"),
    [(0, 1, 0), (1, 0, 0), (2, 0, 10), (3, 0, 20), (6, 0, 160), (7, 0, 300), (50, 0, 300)],
)
def test_each_connection_that_ended_makes_the_next_one_more_careful(
    times: int, qos: int, wait_s: float
) -> None:
    caution = Caution()
    ended_at_once(caution, times)
    assert (caution.qos, caution.wait_s) == (qos, wait_s)


def test_an_answered_subscription_ends_the_waiting_but_not_the_doubt() -> None:
    caution = Caution()
    ended_at_once(caution, 4)
    for topic in ("a", "b"):
        caution.asked(topic)
    for topic in ("a", "b"):
        caution.answered(topic)
    caution.ended(SILENT)
    caution.begin()
    assert (caution.qos, caution.wait_s) == (0, 0)


def test_one_answer_of_two_ends_nothing() -> None:
    caution = Caution()
    ended_at_once(caution, 3)
    caution.asked("a")
    caution.asked("b")
    caution.answered("a")
    caution.ended(SILENT)
    caution.begin()
    assert (caution.qos, caution.wait_s) == (0, 40)


@pytest.mark.parametrize(
    ("code", "counts"),
    [(0x87, True), (0x8F, True), (0xA2, True), (0x83, True)]
    + [(code, False) for code in (0x88, 0x89, 0x8B, 0x8E, 0x95, 0x96, 0x97, 0x98, 0x9D, 0xA0)],
)
def test_a_reason_counts_only_if_it_may_be_about_a_subscription(code: int, counts: bool) -> None:
    caution = Caution()
    ended_at_once(caution, 2, disconnected(Goodbye(code), "gw", "5"))
    assert (caution.qos, caution.wait_s) == ((0, 10) if counts else (1, 0))


def test_neither_a_stalled_broker_nor_a_clean_stop_counts() -> None:
    caution = Caution()
    ended_at_once(caution, 2, faults.stalled(10.0))
    caution.asked("a")
    caution.begin()
    assert (caution.qos, caution.wait_s) == (1, 0)


def test_a_while_later_a_new_connection_subscribes_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caution = Caution()
    ended_at_once(caution, 1)
    caution.asked("a")
    caution.answered("a")
    monkeypatch.setattr("healthd.mqtt.caution._DOUBT_S", 0.0)
    caution.begin()
    assert (caution.qos, caution.wait_s) == (1, 0)
