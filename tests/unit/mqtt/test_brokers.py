"""Which broker of the list is tried next, for how long, and how long all of them are left alone."""

import pytest

from healthd.errors import Backoff
from healthd.mqtt import faults
from healthd.mqtt.brokers import SHORT_LIVED_S, Brokers
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import REFUSED_RETRY, RETRY, ConnectionLost
from healthd.mqtt.reasons import Goodbye, disconnected, refused

TIME = "healthd.mqtt.brokers.time.monotonic"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(TIME, clock)
    return clock


def brokers(*hosts: str) -> Brokers:
    return Brokers(tuple(Endpoint(host, 1883, "5", "gateway-7") for host in hosts))


def silent() -> ConnectionLost:
    return faults.too_slow("a", "it accepts the connection, but does not answer", 3, True)


def wrong_password() -> ConnectionLost:
    return refused(Goodbye(0x86), "gateway-7", "5")


def unreachable() -> ConnectionLost:
    return faults.unreachable("a", "Connection refused")


def round_of(known: Brokers, fails: dict[str, ConnectionLost]) -> tuple[list[str], Backoff | None]:
    """Try the brokers in turn; return those that were tried, and the wait if all have failed."""
    tried: list[str] = []
    last = unreachable()
    for endpoint, _ in known.due():
        tried.append(endpoint.host)
        if endpoint.host not in fails:
            known.connected(0.1)
            known.settled()
            return tried, None
        known.failed(fails[endpoint.host])
        last = fails[endpoint.host]
    return tried, known.reported(last).backoff


def times(known: Brokers, fault: ConnectionLost) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for endpoint, timeout_s in known.due():
        found.append((endpoint.host, timeout_s))
        known.failed(fault)
    return found


def test_the_only_broker_gets_more_time_at_each_try() -> None:
    known = brokers("a")
    assert [times(known, silent())[0][1] for _ in range(4)] == [3, 10, 30, 30]


def test_only_the_last_broker_gets_more_time_and_each_one_is_the_last_at_some_time() -> None:
    known = brokers("a", "b")
    assert times(known, silent()) == [("a", 3), ("b", 3)]
    assert times(known, silent()) == [("b", 3), ("a", 3)]
    assert times(known, silent()) == [("a", 3), ("b", 10)]
    assert times(known, silent()) == [("b", 3), ("a", 10)]
    assert times(known, silent()) == [("a", 3), ("b", 30)]


def test_a_broker_that_is_down_gets_no_more_time() -> None:
    known = brokers("a")
    assert [times(known, unreachable())[0][1] for _ in range(3)] == [3, 3, 3]


def test_a_broker_that_has_answered_fast_again_is_a_fast_one() -> None:
    known = brokers("a")
    times(known, silent())
    for _, timeout_s in known.due():
        assert timeout_s == 10
        known.connected(0.1)
        break
    assert times(known, silent()) == [("a", 3)]


def test_a_broker_that_needed_the_time_keeps_it() -> None:
    known = brokers("a")
    times(known, silent())
    for _ in known.due():
        known.connected(7.0)
        break
    assert times(known, unreachable()) == [("a", 10)]


def test_the_one_that_answered_last_is_the_first() -> None:
    known = brokers("a", "b", "c")
    assert round_of(known, {"a": unreachable()}) == (["a", "b"], None)
    fault = known.lost(faults.closed("b"), "gateway-7", SHORT_LIVED_S + 1)
    assert fault.backoff == RETRY
    assert round_of(known, {"b": unreachable()}) == (["b", "c"], None)


@pytest.mark.parametrize(
    ("fault", "lived_s", "next_one"),
    [
        (faults.closed("a"), SHORT_LIVED_S + 1, "a"),
        (faults.closed("a"), SHORT_LIVED_S - 1, "b"),
        (disconnected(Goodbye(0x8B), "gateway-7", "5"), SHORT_LIVED_S + 1, "b"),
        (disconnected(Goodbye(0x9C), "gateway-7", "5"), SHORT_LIVED_S + 1, "b"),
        (disconnected(Goodbye(0x8E), "gateway-7", "5"), SHORT_LIVED_S + 1, "a"),
        (faults.stalled(10), SHORT_LIVED_S + 1, "b"),
    ],
)
def test_which_one_follows_a_connection(
    fault: ConnectionLost, lived_s: float, next_one: str
) -> None:
    known = brokers("a", "b")
    round_of(known, {})
    known.lost(fault, "gateway-7", lived_s)
    tried, _ = round_of(known, {})
    assert tried == [next_one]


def test_a_broker_that_refuses_is_left_out_while_the_other_one_is_tried(clock: Clock) -> None:
    known = brokers("a", "b")
    fails = {"a": wrong_password(), "b": unreachable()}
    seen: list[float] = []
    for _ in range(60):
        tried, wait = round_of(known, fails)
        assert wait == RETRY
        assert "b" in tried
        seen += [clock.now - 1000] * tried.count("a")
        clock.now += 2
    # First after 30 s, then after twice that.
    assert seen == [0, 30, 90]


def test_if_all_refuse_all_are_left_alone() -> None:
    known = brokers("a", "b")
    assert round_of(known, {"a": wrong_password(), "b": wrong_password()})[1] == REFUSED_RETRY


def test_a_broker_that_drops_for_a_persons_reason_does_not_hold_up_the_next_one() -> None:
    known = brokers("a", "b")
    round_of(known, {})
    fault = known.lost(disconnected(Goodbye(0x97), "gateway-7", "5"), "gateway-7", 1.0)
    assert (fault.reason, fault.backoff) == ("quota_exceeded", RETRY)


def test_another_client_with_the_same_id_is_there_at_every_broker() -> None:
    known = brokers("a", "b")
    round_of(known, {})
    fault = disconnected(Goodbye(0x8E), "gateway-7", "5")
    assert known.lost(fault, "gateway-7", 1.0).backoff == fault.backoff


def test_there_is_always_one_to_try(clock: Clock) -> None:
    known = brokers("a", "b")
    dropped = disconnected(Goodbye(0x97), "gateway-7", "5")
    round_of(known, {"a": dropped, "b": unreachable()})
    # Now ``a`` is left out for a second, and ``b`` for half a minute.
    assert round_of(known, {"b": wrong_password()})[0] == ["b"]
    assert len(round_of(known, {"a": dropped, "b": wrong_password()})[0]) == 1


class TestTwin:
    """Whether another client with the same id may be the cause."""

    def lost(self, known: Brokers, fault: ConnectionLost, lived_s: float = 1.0) -> ConnectionLost:
        round_of(known, {})
        return known.lost(fault, "gateway-7", lived_s)

    def test_it_is_a_guess_after_a_while(self, clock: Clock) -> None:
        known = brokers("a")
        for _ in range(20):
            assert self.lost(known, faults.closed("a")).reason == "broker_lost"
            clock.now += 2
        fault = self.lost(known, faults.closed("a"))
        assert fault.reason == "taken_over"
        assert "21 connections" in str(fault)

    def test_three_at_least(self, clock: Clock) -> None:
        known = brokers("a")
        reasons: list[str] = []
        for _ in range(3):
            reasons.append(self.lost(known, faults.closed("a"), 11.0).reason)
            clock.now += 30
        assert reasons == ["broker_lost", "broker_lost", "taken_over"]

    @pytest.mark.parametrize(
        "other",
        [
            disconnected(Goodbye(0x8B), "gateway-7", "5"),
            disconnected(Goodbye(0x97), "gateway-7", "5"),
            faults.stalled(10),
            faults.broken(),
        ],
    )
    def test_any_reason_is_better_than_a_guess(self, clock: Clock, other: ConnectionLost) -> None:
        known = brokers("a")
        for _ in range(20):
            self.lost(known, faults.closed("a"))
            clock.now += 2
        assert self.lost(known, other).reason == other.reason
        assert self.lost(known, faults.closed("a")).reason == "broker_lost"

    def test_a_broker_that_was_down_was_restarted(self, clock: Clock) -> None:
        known = brokers("a")
        for _ in range(20):
            self.lost(known, faults.closed("a"))
            clock.now += 2
        round_of(known, {"a": unreachable()})
        assert self.lost(known, faults.closed("a")).reason == "broker_lost"

    def test_a_connection_of_a_minute_is_no_sign(self, clock: Clock) -> None:
        known = brokers("a")
        for _ in range(20):
            self.lost(known, faults.closed("a"))
            clock.now += 2
        assert self.lost(known, faults.closed("a"), 60.0).reason == "broker_lost"
        assert self.lost(known, faults.closed("a")).reason == "broker_lost"
