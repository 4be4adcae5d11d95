"""When a topic that the broker refuses is tried again, and who is told."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from healthd.mqtt.parking import FIRST_S, Parking, Stream

STRAP: Stream = ("strap", "beat")
SCALE: Stream = ("scale", "beat")

# The contract: a person who gives a right that was missing waits no longer than this.
CEILING_S = 900.0


class Watch:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    watch = Watch()
    monkeypatch.setattr("healthd.mqtt.parking.time", SimpleNamespace(monotonic=watch.monotonic))
    yield watch


class Told(list[tuple[Stream, str, str | None]]):
    """What was told, in order."""

    def __call__(self, stream: Stream, topic: str, reason: str | None) -> None:
        self.append((stream, topic, reason))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def parking(told: Told, watch: Watch) -> Parking:
    return Parking(told)


def interval_s(parking: Parking, watch: Watch, topic: str) -> float:
    """How long the topic is left alone from now on; the clock is at the end of it afterwards."""
    began_s, step_s = watch.now_s, 0.5
    while parking.is_parked(topic):
        watch.now_s += step_s
        assert watch.now_s - began_s <= 2 * CEILING_S
    return watch.now_s - began_s


def test_nothing_is_parked_at_first(parking: Parking, told: Told) -> None:
    assert not parking.is_parked("live")
    parking.accept("live")
    assert told == []


def test_a_refused_topic_is_left_alone_and_no_other(parking: Parking, told: Told) -> None:
    parking.park(STRAP, "live", "not authorized")
    assert parking.is_parked("live")
    assert not parking.is_parked("live/history")
    assert told == [(STRAP, "live", "not authorized")]


def test_each_try_is_later_than_the_one_before_and_none_too_late(
    parking: Parking, told: Told, watch: Watch
) -> None:
    intervals: list[float] = []
    for _ in range(8):
        parking.park(STRAP, "live", "not authorized")
        intervals.append(interval_s(parking, watch, "live"))
    expected = [FIRST_S * 2**n for n in range(5)] + [CEILING_S] * 3
    assert intervals == pytest.approx(expected, abs=0.5)
    # Told once, not once a try.
    assert told == [(STRAP, "live", "not authorized")]


def test_those_on_their_way_together_count_once(parking: Parking, watch: Watch) -> None:
    for _ in range(20):
        parking.park(STRAP, "live", "not authorized")
        watch.now_s += 0.1
    watch.now_s -= 2.0
    assert interval_s(parking, watch, "live") == pytest.approx(FIRST_S, abs=0.5)


def test_a_topic_that_is_taken_again_is_told_once_and_starts_over(
    parking: Parking, told: Told, watch: Watch
) -> None:
    for _ in range(3):
        parking.park(STRAP, "live", "not authorized")
        interval_s(parking, watch, "live")
    parking.accept("live")
    parking.accept("live")
    assert told == [(STRAP, "live", "not authorized"), (STRAP, "live", None)]
    assert not parking.is_parked("live")
    parking.park(STRAP, "live", "quota")
    assert told[2:] == [(STRAP, "live", "quota")]
    assert interval_s(parking, watch, "live") == pytest.approx(FIRST_S, abs=0.5)


def test_what_was_on_its_way_already_proves_nothing(
    parking: Parking, told: Told, watch: Watch
) -> None:
    """A broker may refuse a large message and take the small one behind it."""
    parking.park(STRAP, "live", "too large")
    parking.accept("live")
    assert parking.is_parked("live")
    assert told == [(STRAP, "live", "too large")]
    interval_s(parking, watch, "live")
    parking.accept("live")
    assert told[1:] == [(STRAP, "live", None)]


def test_a_topic_is_in_doubt_until_a_later_message_is_taken(parking: Parking, watch: Watch) -> None:
    assert not parking.is_doubtful("live")
    parking.park(STRAP, "live", "too large")
    interval_s(parking, watch, "live")
    assert not parking.is_parked("live")
    assert parking.is_doubtful("live")
    parking.accept("live")
    assert not parking.is_doubtful("live")


def test_streams_are_those_whose_topic_of_that_sort_is_parked_now(
    parking: Parking, watch: Watch
) -> None:
    def live(stream: Stream) -> str:
        return f"{stream[0]}/live"

    def history(stream: Stream) -> str:
        return f"{stream[0]}/history"

    parking.park(STRAP, live(STRAP), "not authorized")
    parking.park(SCALE, history(SCALE), "not authorized")
    assert parking.parked(live) == [STRAP]
    assert parking.parked(history) == [SCALE]
    parking.park(STRAP, history(STRAP), "not authorized")
    assert sorted(parking.parked(history)) == [SCALE, STRAP]
    watch.now_s += FIRST_S + 0.1
    assert parking.parked(live) == parking.parked(history) == []


def test_with_other_credentials_every_topic_is_tried_at_once(
    parking: Parking, watch: Watch, told: Told
) -> None:
    parking.park(STRAP, "a", "no right")
    parking.retry_all()
    assert not parking.is_parked("a")
    assert parking.is_doubtful("a")
    parking.accept("a")
    assert told[-1] == (STRAP, "a", None)
    assert not parking.is_doubtful("a")
