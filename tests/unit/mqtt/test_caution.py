"""How healthd subscribes after connections that ended because of it."""

import pytest

from healthd.mqtt.caution import Caution


def ended_at_once(caution: Caution, times: int) -> None:
    """Let this many connections end before the SUBSCRIBE is answered."""
    for _ in range(times):
        caution.begin()
        caution.asked("a")
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
    caution.begin()
    assert (caution.qos, caution.wait_s) == (0, 0)


def test_one_answer_of_two_ends_nothing() -> None:
    caution = Caution()
    ended_at_once(caution, 3)
    caution.asked("a")
    caution.asked("b")
    caution.answered("a")
    caution.begin()
    assert (caution.qos, caution.wait_s) == (0, 40)


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
