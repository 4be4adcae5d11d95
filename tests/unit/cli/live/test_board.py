"""What was seen of gateways, peripherals and streams."""

import pickle
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.cli.live.board import Board
from healthd.cli.live.stream import Moment, Stream
from healthd.mqtt.arrivals import Message
from healthd.samples import utc_text

WALL = 1_795_000_000.0
START = Moment(1000.0, WALL)
HOME = "healthd/home"
HEART_RATE = f"{HOME}/device/strap/heart_rate"
WEIGHT = f"{HOME}/device/scale/weight"

GAP: dict[str, Any] = {"peripheral": "strap", "stream": "heart_rate", "reason": "link_lost"}


def after(seconds: float) -> Moment:
    return Moment(START.mono + seconds, START.wall + seconds)


def sample(seq: int, measured: float = 0.0, clock: str = "synced", **values: Any) -> dict[str, Any]:
    time = utc_text(round((WALL + measured) * 1e9))
    return {"id": f"run-{seq}", "time": time, "clock": clock, "seq": seq, **values}


class Seen(Board):
    """A board that results may be kept for, and a shorter way to tell it something."""

    def __init__(self) -> None:
        super().__init__("healthd", {"weight"})

    def tell(
        self, topic: str, payload: object, now: Moment = START, *, retained: bool = False
    ) -> None:
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        self.add_message(Message(topic, raw, retained), now)

    def stream(self, topic: str = HEART_RATE) -> Stream:
        _, gateway, _, peripheral, name = topic.split("/", 4)
        return self.gateways[gateway].peripherals[peripheral].streams[name]


@pytest.fixture
def board() -> Seen:
    return Seen()


def test_the_newest_sample_and_how_many_there_were(board: Seen) -> None:
    for seq, rate in enumerate((70, 71, 72), start=1):
        board.tell(HEART_RATE, sample(seq, heart_rate_bpm=rate), after(seq))
    stream = board.stream()
    assert stream.values["heart_rate_bpm"] == 72
    assert (stream.samples, stream.history, stream.gaps) == (3, 0, 0)
    assert list(stream.trend) == [70, 71, 72]


def test_duplicates_count_once_wherever_they_come(board: Seen) -> None:
    one, two = sample(1, heart_rate_bpm=70), sample(2, heart_rate_bpm=71)
    board.tell(HEART_RATE, one)
    board.tell(HEART_RATE, one)
    board.tell(f"{HEART_RATE}/history", one)
    board.tell(f"{HEART_RATE}/history", two)
    board.tell(HEART_RATE, two)
    stream = board.stream()
    assert (stream.samples, stream.history) == (1, 1)
    # What was late is not the newest, and no reason to believe that something flows.
    assert stream.values == one
    assert list(stream.trend) == [70]
    assert stream.per_second(after(1)) is None


def test_the_same_id_in_another_stream_or_of_another_gateway_is_another_sample(
    board: Seen,
) -> None:
    for topic in (HEART_RATE, WEIGHT, HEART_RATE.replace("home", "attic")):
        board.tell(topic, sample(1))
    assert board.gateways.keys() == {"home", "attic"}
    assert board.stream(HEART_RATE.replace("home", "attic")).samples == 1
    assert board.stream(WEIGHT).samples == 1


def test_a_stream_that_flows_is_as_old_as_its_arrival_whatever_clocks_say(board: Seen) -> None:
    board.tell(HEART_RATE, sample(1, measured=-86_400, clock="unsynced"))
    assert board.stream().age_s(after(2.5)) == 2.5
    # The wall clock is set while we look on.
    assert board.stream().age_s(Moment(START.mono + 3, WALL + 1e8)) == 3
    board.tell(HEART_RATE, sample(2, measured=+86_400), after(4))
    assert board.stream().age_s(after(5)) == 1


@pytest.mark.parametrize("retained", [True, False])
def test_a_result_is_as_old_as_it_says(board: Seen, retained: bool) -> None:
    board.tell(WEIGHT, sample(1, measured=-3600, weight_kg=81.0), retained=retained)
    assert board.stream(WEIGHT).age_s(after(10)) == pytest.approx(3610)
    # It does not flow, and so has no rate.
    board.tell(WEIGHT, sample(2, measured=10, weight_kg=81.5), after(10))
    assert board.stream(WEIGHT).age_s(after(11)) == pytest.approx(1)
    assert board.stream(WEIGHT).per_second(after(11)) is None


def test_a_result_comes_again_on_every_connect_and_is_no_younger_for_it(board: Seen) -> None:
    one = sample(1, measured=-3600, weight_kg=81.0)
    board.tell(WEIGHT, one, retained=True)
    board.tell(WEIGHT, one, after(60))
    assert board.stream(WEIGHT).samples == 1
    assert board.stream(WEIGHT).age_s(after(60)) == pytest.approx(3660)


def test_the_age_of_a_result_of_a_clock_that_was_not_set_is_unknown_once_it_was_kept(
    board: Seen,
) -> None:
    board.tell(WEIGHT, sample(1, clock="unsynced"), retained=True)
    assert board.stream(WEIGHT).age_s(after(1)) is None
    board.tell(WEIGHT, sample(2, clock="unsynced"), after(5))
    assert board.stream(WEIGHT).age_s(after(6)) == 1


def test_a_result_from_the_future_is_new(board: Seen) -> None:
    board.tell(WEIGHT, sample(1, measured=30), retained=True)
    assert board.stream(WEIGHT).age_s(START) == 0


def test_the_rate_is_that_of_the_last_seconds(board: Seen) -> None:
    for seq in range(60):
        board.tell(HEART_RATE, sample(seq, heart_rate_bpm=70), after(seq))
    assert board.stream().per_second(after(59.5)) == pytest.approx(1.0)
    for seq in range(60, 140):
        board.tell(HEART_RATE, sample(seq, heart_rate_bpm=70), after(60 + (seq - 60) / 4))
    assert board.stream().per_second(after(80)) == pytest.approx(4.0, rel=0.05)
    assert board.stream().per_second(after(110)) is None


def test_of_frames_the_values_count_and_the_trend_is_the_whole_frame(board: Seen) -> None:
    ecg = f"{HOME}/device/strap/ecg"
    for seq in range(10):
        frame = sample(seq, sample_rate_hz=130.0, ecg_uv=[*range(65)])
        board.tell(ecg, frame, after(seq / 2))
    assert board.stream(ecg).is_frame
    assert board.stream(ecg).per_second(after(5)) == pytest.approx(130.0)
    assert list(board.stream(ecg).trend) == [*range(65)]


def test_the_trend_is_of_one_quantity_even_if_it_comes_late(board: Seen) -> None:
    topic = f"{HOME}/device/pod/running_speed_cadence"
    for seq in range(3):
        board.tell(topic, sample(seq, cumulative_wheel_revolutions=seq))
    for seq in range(3, 6):
        board.tell(topic, sample(seq, cumulative_wheel_revolutions=seq, speed_mps=seq / 10))
    board.tell(topic, sample(6, cumulative_wheel_revolutions=6, speed_mps=None))
    assert list(board.stream(topic).trend) == [0.3, 0.4, 0.5]


def test_gaps_are_counted_once_each(board: Seen) -> None:
    for number, reason in ((1, "link_lost"), (2, "stalled"), (2, "stalled")):
        board.tell(f"{HOME}/event/gap", {**sample(number), **GAP, "reason": reason})
    assert (board.stream().gaps, board.stream().gap_reason) == (2, "stalled")
    assert board.stream().samples == 0


def test_the_state_of_a_link(board: Seen) -> None:
    device = f"{HOME}/device/strap"
    board.tell(f"{device}/heart_rate", sample(1))
    gateway = board.gateways["home"]
    assert gateway.state("strap") == ("", "")
    board.tell(f"{device}/status", b"offline")
    assert gateway.state("strap") == ("offline", "")
    board.tell(f"{device}/status", b"online")
    assert gateway.state("strap") == ("online", "")
    board.tell(f"{device}/info", {"state": "waiting", "reason": "link_lost"})
    assert gateway.state("strap") == ("waiting", "link_lost")
    board.tell(f"{device}/info", {"state": "streaming"})
    assert gateway.state("strap") == ("streaming", "")
    # Its will says nothing of its devices: what they said last still stands there.
    board.tell(f"{HOME}/status", b"offline")
    assert gateway.state("strap") == ("offline", "gateway")
    board.tell(f"{HOME}/status", b"online")
    assert gateway.state("strap") == ("streaming", "")


def test_one_gateways_end_is_not_anothers(board: Seen) -> None:
    for gateway in ("home", "attic"):
        board.tell(f"healthd/{gateway}/status", b"online")
        board.tell(f"healthd/{gateway}/device/strap/info", {"state": "streaming"})
    board.tell("healthd/attic/status", b"offline")
    assert board.gateways["home"].state("strap") == ("streaming", "")
    assert board.gateways["attic"].state("strap") == ("offline", "gateway")


@pytest.mark.parametrize(
    ("fetch", "due_s"),
    [
        ({"next_due": utc_text(round((WALL + 90) * 1e9))}, 90),
        ({"next_due": utc_text(round((WALL - 90) * 1e9))}, 0),
        ({"next_due": "soon"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_when_a_periodic_one_is_due(board: Seen, fetch: object, due_s: float | None) -> None:
    board.tell(f"{HOME}/device/scale/info", {"state": "waiting", "fetch": fetch})
    assert board.gateways["home"].due_in_s("scale", START) == due_s


def test_what_was_cleared_at_the_broker_is_gone(board: Seen) -> None:
    for topic in (f"{HOME}/device/strap/status", f"{HOME}/device/scale/status", f"{HOME}/status"):
        board.tell(topic, b"online")
    for last in ("info", "status", "weight"):
        board.tell(f"{HOME}/device/scale/{last}", b"")
    assert board.gateways["home"].peripherals.keys() == {"strap"}
    board.tell(f"{HOME}/status", b"")
    assert board.gateways == {}
    board.tell(f"{HOME}/device/strap/status", b"")
    assert board.gateways == {}


def test_memory_does_not_grow_with_time(board: Seen) -> None:
    def size_after(first: int) -> int:
        for seq in range(first, first + 3000):
            board.tell(HEART_RATE, sample(seq, heart_rate_bpm=70), after(seq))
            board.tell(f"{HEART_RATE}/history", sample(-seq, heart_rate_bpm=70), after(seq))
            board.tell(f"{HOME}/event/gap", sample(seq, **GAP), after(seq))
        return len(pickle.dumps(board))

    before = size_after(1000)
    assert size_after(4000) == pytest.approx(before, rel=0.01)
    assert board.stream().samples == board.stream().gaps == 6000


@pytest.mark.parametrize("topic", ["healthd", "other/home/status", f"{HOME}/device/strap"])
def test_what_is_no_gateways_leaves_no_trace(board: Seen, topic: str) -> None:
    board.tell(topic, b"online")
    assert board.gateways == {}


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["id", "time", "state", "reason", "fetch"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    topic=st.sampled_from([f"{HOME}/status", f"{HOME}/event/gap", HEART_RATE, WEIGHT])
    | st.sampled_from([f"{HOME}/device/strap/{one}" for one in ("info", "status", "x/history")]),
    payload=json.map(orjson.dumps) | st.binary(max_size=20),
    retained=st.booleans(),
)
def test_any_payload_is_survived(topic: str, payload: bytes, retained: bool) -> None:
    board = Seen()
    board.tell(topic, payload, retained=retained)
    for gateway in board.gateways.values():
        for name, peripheral in gateway.peripherals.items():
            gateway.state(name)
            gateway.due_in_s(name, START)
            for stream in peripheral.streams.values():
                stream.age_s(START)
                stream.per_second(START)
