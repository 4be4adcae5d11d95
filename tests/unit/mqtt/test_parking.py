"""When a refused topic is tried again, and which changes are reported."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from healthd.mqtt.parking import FIRST_S, Parking, Stream

STRAP: Stream = ("strap", "beat")
SCALE: Stream = ("scale", "beat")

# Documented: after missing rights are granted, samples flow again within this time.
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


class Changes(list[tuple[Stream, str, str | None]]):
    """The reported changes, in order."""

    def __call__(self, stream: Stream, topic: str, reason: str | None) -> None:
        self.append((stream, topic, reason))


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def parking(changes: Changes, watch: Watch) -> Parking:
    return Parking(changes)


def interval_s(parking: Parking, watch: Watch, topic: str) -> float:
    """Move the clock to the end of the topic's parking; return how long that took."""
    began_s, step_s = watch.now_s, 0.5
    while parking.is_parked(topic):
        watch.now_s += step_s
        assert watch.now_s - began_s <= 2 * CEILING_S
    return watch.now_s - began_s


def test_nothing_is_parked_at_first(parking: Parking, changes: Changes) -> None:
    assert not parking.is_parked("live")
    parking.accept("live")
    assert changes == []


def test_a_refused_topic_is_parked_and_no_other(parking: Parking, changes: Changes) -> None:
    parking.park(STRAP, "live", "not authorized")
    assert parking.is_parked("live")
    assert not parking.is_parked("live/history")
    assert changes == [(STRAP, "live", "not authorized")]


def test_intervals_double_up_to_a_ceiling(parking: Parking, changes: Changes, watch: Watch) -> None:
    intervals: list[float] = []
    for _ in range(8):
        parking.park(STRAP, "live", "not authorized")
        intervals.append(interval_s(parking, watch, "live"))
    expected = [FIRST_S * 2**n for n in range(5)] + [CEILING_S] * 3
    assert intervals == pytest.approx(expected, abs=0.5)
    # Reported once, not for each attempt.
    assert changes == [(STRAP, "live", "not authorized")]


def test_messages_refused_together_count_once(parking: Parking, watch: Watch) -> None:
    for _ in range(20):
        parking.park(STRAP, "live", "not authorized")
        watch.now_s += 0.1
    watch.now_s -= 2.0
    assert interval_s(parking, watch, "live") == pytest.approx(FIRST_S, abs=0.5)


def test_an_accepted_topic_is_reported_once_and_starts_over(
    parking: Parking, changes: Changes, watch: Watch
) -> None:
    for _ in range(3):
        parking.park(STRAP, "live", "not authorized")
        interval_s(parking, watch, "live")
    parking.accept("live")
    parking.accept("live")
    assert changes == [(STRAP, "live", "not authorized"), (STRAP, "live", None)]
    assert not parking.is_parked("live")
    parking.park(STRAP, "live", "quota")
    assert changes[2:] == [(STRAP, "live", "quota")]
    assert interval_s(parking, watch, "live") == pytest.approx(FIRST_S, abs=0.5)


def test_a_message_sent_before_the_refusal_does_not_end_parking(
    parking: Parking, changes: Changes, watch: Watch
) -> None:
    """A broker may refuse a large message and accept the small one that follows."""
    parking.park(STRAP, "live", "too large")
    parking.accept("live")
    assert parking.is_parked("live")
    assert changes == [(STRAP, "live", "too large")]
    interval_s(parking, watch, "live")
    parking.accept("live")
    assert changes[1:] == [(STRAP, "live", None)]


def test_a_topic_is_doubtful_until_a_later_message_is_accepted(
    parking: Parking, watch: Watch
) -> None:
    assert not parking.is_doubtful("live")
    parking.park(STRAP, "live", "too large")
    interval_s(parking, watch, "live")
    assert not parking.is_parked("live")
    assert parking.is_doubtful("live")
    parking.accept("live")
    assert not parking.is_doubtful("live")


def test_live_and_history_topics_of_a_stream_are_parked_separately(
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


def test_retry_all_ends_all_parking(parking: Parking, watch: Watch, changes: Changes) -> None:
    parking.park(STRAP, "a", "not authorized")
    parking.retry_all()
    assert not parking.is_parked("a")
    assert parking.is_doubtful("a")
    parking.accept("a")
    assert changes[-1] == (STRAP, "a", None)
    assert not parking.is_doubtful("a")


def test_a_message_that_is_too_large_parks_only_messages_of_its_size(
    parking: Parking, watch: Watch, changes: Changes
) -> None:
    parking.park(STRAP, "live", "too large", 5000)
    assert parking.is_parked("live", 5000) and parking.is_parked("live", 9000)
    assert not parking.is_parked("live", 4999) and not parking.is_parked("live")
    assert parking.parked(lambda _: "live") == []
    parking.accept("live", 4999)
    assert parking.is_doubtful("live", 5000) and not parking.is_doubtful("live", 4999)
    # Another one in flight shows that the limit is lower.
    parking.park(STRAP, "live", "too large", 4000)
    assert parking.is_parked("live", 4000) and not parking.is_parked("live", 3999)
    watch.now_s += FIRST_S + 1
    assert not parking.is_parked("live", 9000)
    parking.accept("live", 9000)
    assert changes == [(STRAP, "live", "too large"), (STRAP, "live", None)]


def test_a_new_connection_tries_large_messages_again_and_nothing_else(
    parking: Parking, watch: Watch
) -> None:
    parking.park(STRAP, "large", "too large", 5000)
    parking.park(SCALE, "denied", "not authorized")
    parking.retry_large()
    assert not parking.is_parked("large", 5000)
    assert parking.is_parked("denied")
    # Refused again after its time, for another reason: then all of them.
    parking.park(STRAP, "large", "not authorized")
    assert parking.is_parked("large", 1)


def test_a_topic_that_is_refused_again_after_its_time_is_refused_for_long(
    parking: Parking, watch: Watch
) -> None:
    parking.park(STRAP, "live", "too large")
    assert not parking.is_refused_for_long("live")
    watch.now_s += FIRST_S + 1
    parking.park(STRAP, "live", "too large")
    assert parking.is_refused_for_long("live")
    watch.now_s += CEILING_S
    parking.accept("live")
    assert not parking.is_refused_for_long("live")
