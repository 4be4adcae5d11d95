"""Requests to move a machine that are old, or may be, are refused; D7."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from healthd.mqtt.age import check_age
from healthd.mqtt.arrivals import Message
from healthd.mqtt.freshness import Freshness
from healthd.samples import ClockState, Stamp
from healthd.verbs import (
    OLDEST_CONTROL_S,
    Fetch,
    Release,
    Request,
    RequestRefused,
    Start,
    Stop,
    uptime_s,
)

Waited = tuple[float | None, float | None]
"""How long a message can have waited, and until when it is valid, in seconds."""

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
START, STOP, FETCH = Start(peripheral="a"), Stop(peripheral="a"), Fetch(peripheral="a")


def stamp(clock: ClockState = "synced") -> Stamp:
    return Stamp(int(NOW.timestamp() * 1e9), 0, clock)


def message(waited_s: float | None = None, left_s: float | None = None) -> Message:
    sent_after_s = None if waited_s is None else uptime_s() - waited_s
    expires_s = None if left_s is None else uptime_s() + left_s
    return Message("t", b"", False, sent_after_s=sent_after_s, expires_s=expires_s)


def made(seconds_ago: float) -> Start:
    then = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    return Start.model_validate({"peripheral": "a", "time": then})


@pytest.mark.parametrize(
    ("request_", "received", "problem"),
    [
        (START, (OLDEST_CONTROL_S, None), "may have waited for 5 s, expected at most 5 s"),
        (START, (math.inf, None), "just connected"),
        (START, (None, -0.1), "has expired"),
        (FETCH, (None, -0.1), "has expired"),
        # It expired while healthd stood still: the broker had sent it before.
        (START, (4, 1), "has expired"),
        (FETCH, (40, 10), "has expired"),
        (made(40), (0.5, None), "is 40 s old by its time"),
        (made(-40), (0.5, None), "40 s ahead"),
    ],
)
def test_what_is_too_old_is_refused(request_: Request, received: Waited, problem: str) -> None:
    with pytest.raises(RequestRefused, match=problem):
        check_age(request_, message(*received), stamp())


@pytest.mark.parametrize(
    ("request_", "received", "clock"),
    [
        (START, (None, None), "synced"),
        (START, (OLDEST_CONTROL_S - 1, 10), "synced"),
        (START, (1.5, 1), "synced"),
        (made(4), (None, None), "synced"),
        (made(-4), (None, None), "synced"),
        # This gateway does not know how late it is.
        (made(40), (None, None), "unsynced"),
        (STOP, (math.inf, -1), "synced"),
        (Release(peripheral="a"), (100, None), "synced"),
        (FETCH, (math.inf, None), "synced"),
        (FETCH, (math.inf, 1), "synced"),
    ],
)
def test_what_is_not_or_makes_a_machine_safe_is_accepted(
    request_: Request, received: Waited, clock: ClockState
) -> None:
    check_age(request_, message(*received), stamp(clock))


def test_the_age_goes_on_while_a_request_waits_for_its_turn() -> None:
    request, stop = made(1), Stop(peripheral="a")
    check_age(request, message(3), stamp())
    assert 3 <= request.age_s < OLDEST_CONTROL_S
    assert not request.is_too_old
    request.note_age(OLDEST_CONTROL_S)
    stop.note_age(OLDEST_CONTROL_S)
    assert request.is_too_old
    assert not stop.is_too_old


def test_what_the_answers_of_the_broker_say() -> None:
    waiting = 0
    freshness = Freshness(lambda: waiting)
    assert freshness.sent_after_s == -math.inf
    freshness.answered()  # of a PINGREQ that paho has sent by itself
    assert freshness.sent_after_s == -math.inf
    before = uptime_s()
    freshness.asked()
    after = uptime_s()
    freshness.arrived()
    freshness.answered()
    assert before <= freshness.sent_after_s <= after


@pytest.mark.parametrize(("waiting", "arriving"), [(8, 0), (0, 8), (4, 4)])
def test_while_the_broker_may_hold_messages_back_its_answers_say_nothing(
    waiting: int, arriving: int
) -> None:
    freshness = Freshness(lambda: waiting)
    freshness.asked()
    for _ in range(arriving):
        freshness.arrived()
    freshness.answered()
    assert freshness.sent_after_s == -math.inf
