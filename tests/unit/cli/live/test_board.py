"""The state of gateways, peripherals and streams as seen on a broker."""

import pickle
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.cli.live.board import Board
from healthd.cli.live.stream import Ids, Moment, Stream
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


class FedBoard(Board):
    """A board with a retained stream, and a shorter way to feed it messages."""

    def __init__(self) -> None:
        super().__init__("healthd", {"weight"})

    def feed(
        self, topic: str, payload: object, now: Moment = START, *, retained: bool = False
    ) -> None:
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        self.add_message(Message(topic, raw, retained), now)

    def stream(self, topic: str = HEART_RATE) -> Stream:
        _, gateway, _, peripheral, name = topic.split("/", 4)
        return self.gateways[gateway].peripherals[peripheral].streams[name]


@pytest.fixture
def board() -> FedBoard:
    return FedBoard()


def test_the_newest_sample_and_the_number_of_samples(board: FedBoard) -> None:
    for seq, rate in enumerate((70, 71, 72), start=1):
        board.feed(HEART_RATE, sample(seq, heart_rate_bpm=rate), after(seq))
    stream = board.stream()
    assert stream.values["heart_rate_bpm"] == 72
    assert (stream.samples, stream.history, stream.gaps) == (3, 0, 0)
    assert list(stream.trend) == [70, 71, 72]


def test_duplicates_count_once_on_both_topics(board: FedBoard) -> None:
    first, second = sample(1, heart_rate_bpm=70), sample(2, heart_rate_bpm=71)
    board.feed(HEART_RATE, first)
    board.feed(HEART_RATE, first)
    board.feed(f"{HEART_RATE}/history", first)
    board.feed(f"{HEART_RATE}/history", second)
    board.feed(HEART_RATE, second)
    stream = board.stream()
    assert (stream.samples, stream.history) == (1, 1)
    # Samples of the history topic change neither the newest sample nor the rate.
    assert stream.values == first
    assert list(stream.trend) == [70]
    assert stream.per_second(after(1)) is None


def test_the_same_id_in_another_stream_or_of_another_gateway_is_another_sample(
    board: FedBoard,
) -> None:
    for topic in (HEART_RATE, WEIGHT, HEART_RATE.replace("home", "attic")):
        board.feed(topic, sample(1))
    assert board.gateways.keys() == {"home", "attic"}
    assert board.stream(HEART_RATE.replace("home", "attic")).samples == 1
    assert board.stream(WEIGHT).samples == 1


def test_the_age_of_a_continuous_stream_counts_from_arrival_not_from_its_time(
    board: FedBoard,
) -> None:
    board.feed(HEART_RATE, sample(1, measured=-86_400, clock="unsynced"))
    assert board.stream().age_s(after(2.5)) == 2.5
    # The wall clock is set meanwhile.
    assert board.stream().age_s(Moment(START.mono + 3, WALL + 1e8)) == 3
    board.feed(HEART_RATE, sample(2, measured=+86_400), after(4))
    assert board.stream().age_s(after(5)) == 1


@pytest.mark.parametrize("retained", [True, False])
def test_the_age_of_a_result_counts_from_its_time(board: FedBoard, retained: bool) -> None:
    board.feed(WEIGHT, sample(1, measured=-3600, weight_kg=81.0), retained=retained)
    assert board.stream(WEIGHT).age_s(after(10)) == pytest.approx(3610)
    # A result has no rate.
    board.feed(WEIGHT, sample(2, measured=10, weight_kg=81.5), after(10))
    assert board.stream(WEIGHT).age_s(after(11)) == pytest.approx(1)
    assert board.stream(WEIGHT).per_second(after(11)) is None


def test_a_result_delivered_again_keeps_its_age(board: FedBoard) -> None:
    result = sample(1, measured=-3600, weight_kg=81.0)
    board.feed(WEIGHT, result, retained=True)
    board.feed(WEIGHT, result, after(60))
    assert board.stream(WEIGHT).samples == 1
    assert board.stream(WEIGHT).age_s(after(60)) == pytest.approx(3660)


def test_the_age_of_a_retained_result_with_an_unsynced_clock_is_unknown(
    board: FedBoard,
) -> None:
    board.feed(WEIGHT, sample(1, clock="unsynced"), retained=True)
    assert board.stream(WEIGHT).age_s(after(1)) is None
    board.feed(WEIGHT, sample(2, clock="unsynced"), after(5))
    assert board.stream(WEIGHT).age_s(after(6)) == 1


def test_a_result_from_the_future_has_age_zero(board: FedBoard) -> None:
    board.feed(WEIGHT, sample(1, measured=30), retained=True)
    assert board.stream(WEIGHT).age_s(START) == 0


def test_the_rate_covers_the_last_seconds(board: FedBoard) -> None:
    for seq in range(60):
        board.feed(HEART_RATE, sample(seq, heart_rate_bpm=70), after(seq))
    assert board.stream().per_second(after(59.5)) == pytest.approx(1.0)
    for seq in range(60, 140):
        board.feed(HEART_RATE, sample(seq, heart_rate_bpm=70), after(60 + (seq - 60) / 4))
    assert board.stream().per_second(after(80)) == pytest.approx(4.0, rel=0.05)
    assert board.stream().per_second(after(110)) is None


def test_the_rate_of_frames_counts_values_and_the_trend_is_the_newest_frame(
    board: FedBoard,
) -> None:
    ecg = f"{HOME}/device/strap/ecg"
    for seq in range(10):
        frame = sample(seq, sample_rate_hz=130.0, ecg_uv=[*range(65)])
        board.feed(ecg, frame, after(seq / 2))
    assert board.stream(ecg).is_frame
    assert board.stream(ecg).per_second(after(5)) == pytest.approx(130.0)
    assert list(board.stream(ecg).trend) == [*range(65)]


def test_the_trend_shows_the_main_quantity_even_if_it_appears_late(board: FedBoard) -> None:
    topic = f"{HOME}/device/pod/running_speed_cadence"
    for seq in range(3):
        board.feed(topic, sample(seq, cumulative_wheel_revolutions=seq))
    for seq in range(3, 6):
        board.feed(topic, sample(seq, cumulative_wheel_revolutions=seq, speed_mps=seq / 10))
    board.feed(topic, sample(6, cumulative_wheel_revolutions=6, speed_mps=None))
    assert list(board.stream(topic).trend) == [0.3, 0.4, 0.5]


def test_each_gap_is_counted_once(board: FedBoard) -> None:
    for number, reason in ((1, "link_lost"), (2, "stalled"), (2, "stalled")):
        board.feed(f"{HOME}/event/gap", {**sample(number), **GAP, "reason": reason})
    assert (board.stream().gaps, board.stream().gap_reason) == (2, "stalled")
    assert board.stream().samples == 0


def test_the_state_of_a_link(board: FedBoard) -> None:
    device = f"{HOME}/device/strap"
    board.feed(f"{device}/heart_rate", sample(1))
    gateway = board.gateways["home"]
    assert gateway.state("strap") == ("", "")
    board.feed(f"{device}/status", b"offline")
    assert gateway.state("strap") == ("offline", "")
    board.feed(f"{device}/status", b"online")
    assert gateway.state("strap") == ("online", "")
    board.feed(f"{device}/info", {"state": "waiting", "reason": "link_lost"})
    assert gateway.state("strap") == ("waiting", "link_lost")
    board.feed(f"{device}/info", {"state": "streaming"})
    assert gateway.state("strap") == ("streaming", "")
    # The gateway's will does not change the retained state of its devices.
    board.feed(f"{HOME}/status", b"offline")
    assert gateway.state("strap") == ("offline", "gateway")
    board.feed(f"{HOME}/status", b"online")
    assert gateway.state("strap") == ("streaming", "")


def test_a_gateway_that_goes_offline_does_not_affect_another_one(board: FedBoard) -> None:
    for gateway in ("home", "attic"):
        board.feed(f"healthd/{gateway}/status", b"online")
        board.feed(f"healthd/{gateway}/device/strap/info", {"state": "streaming"})
    board.feed("healthd/attic/status", b"offline")
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
def test_when_a_periodic_peripheral_is_due(
    board: FedBoard, fetch: object, due_s: float | None
) -> None:
    board.feed(f"{HOME}/device/scale/info", {"state": "waiting", "fetch": fetch})
    assert board.gateways["home"].due_in_s("scale", START) == due_s


def test_cleared_topics_remove_peripherals_and_gateways(board: FedBoard) -> None:
    for topic in (f"{HOME}/device/strap/status", f"{HOME}/device/scale/status", f"{HOME}/status"):
        board.feed(topic, b"online")
    for last in ("info", "status", "weight"):
        board.feed(f"{HOME}/device/scale/{last}", b"")
    assert board.gateways["home"].peripherals.keys() == {"strap"}
    board.feed(f"{HOME}/status", b"")
    assert board.gateways == {}
    board.feed(f"{HOME}/device/strap/status", b"")
    assert board.gateways == {}


def test_memory_use_does_not_grow_with_time(board: FedBoard) -> None:
    def size_after(first: int) -> int:
        for seq in range(first, first + 3000):
            board.feed(HEART_RATE, sample(seq, heart_rate_bpm=70), after(seq))
            board.feed(f"{HEART_RATE}/history", sample(-seq, heart_rate_bpm=70), after(seq))
            board.feed(f"{HOME}/event/gap", sample(seq, **GAP), after(seq))
        return len(pickle.dumps(board))

    before = size_after(1000)
    assert size_after(4000) == pytest.approx(before, rel=0.01)
    assert board.stream().samples == board.stream().gaps == 6000


@pytest.mark.parametrize("topic", ["healthd", "other/home/status", f"{HOME}/device/strap"])
def test_topics_of_other_programs_are_ignored(board: FedBoard, topic: str) -> None:
    board.feed(topic, b"online")
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
    | st.sampled_from([f"{HOME}/device/strap/{name}" for name in ("info", "status", "x/history")]),
    payload=json.map(orjson.dumps) | st.binary(max_size=20),
    retained=st.booleans(),
)
def test_any_payload_is_accepted(topic: str, payload: bytes, retained: bool) -> None:
    board = FedBoard()
    board.feed(topic, payload, retained=retained)
    for gateway in board.gateways.values():
        for name, peripheral in gateway.peripherals.items():
            gateway.state(name)
            gateway.due_in_s(name, START)
            for stream in peripheral.streams.values():
                stream.age_s(START)
                stream.per_second(START)


def topics(number: int) -> list[str]:
    """Return topics of ever new gateways, peripherals and streams."""
    return [
        topic
        for n in range(number)
        for topic in (
            f"healthd/gateway-{n}/status",
            f"{HOME}/device/strap-{n}/status",
            f"{HOME}/device/strap/stream-{n}",
        )
    ]


def entries(board: FedBoard) -> int:
    peripherals = [each for one in board.gateways.values() for each in one.peripherals.values()]
    return len(board.gateways) + len(peripherals) + sum(len(each.streams) for each in peripherals)


def test_any_number_of_topics_takes_a_bounded_number_of_entries(
    board: FedBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.cli.live.board.MAX_ENTRIES", 50)
    board.feed(HEART_RATE, sample(1, heart_rate_bpm=70))
    for topic in topics(100):
        board.feed(topic, b"online" if topic.endswith("status") else sample(1))
    for n in range(100):
        board.feed(f"{HOME}/event/gap", GAP | {"id": f"g-{n}", "peripheral": f"other-{n}"})
    assert entries(board) == 50
    assert board.left_out == 300 + 100 - (50 - 3), "what is not shown is counted"
    # What is there goes on, and what is removed makes room.
    board.feed(HEART_RATE, sample(2, heart_rate_bpm=71))
    assert board.stream().samples == 2
    board.feed("healthd/gateway-0/status", b"")
    board.feed("healthd/new/status", b"online")
    assert "new" in board.gateways
    assert entries(board) == 50


@pytest.mark.parametrize(
    "payload",
    [
        orjson.dumps({"id": "a-1", "text": "x" * 32_768}),
        orjson.dumps({"id": "a-1", "list": [0] * 20_000}),
        b'{"a":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"a":' + b'{"b":' * 64 + b"1" + b"}" * 64 + b"}",
        b"\xff",
        b"[1]",
    ],
    ids=["long text", "long list", "deep lists", "deep objects", "not UTF-8", "not an object"],
)
def test_a_payload_beyond_every_sample_is_counted_and_not_kept(
    board: FedBoard, payload: bytes
) -> None:
    for topic in (HEART_RATE, f"{HEART_RATE}/history", f"{HOME}/device/strap/info"):
        board.feed(topic, payload)
    board.feed(f"{HOME}/event/gap", payload)
    assert board.unreadable == 4
    assert board.gateways["home"].peripherals["strap"].streams == {}


def test_large_payloads_of_all_streams_have_a_bound_together(
    board: FedBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.cli.live.board.MAX_KEPT_BYTES", 10_000)
    for n in range(20):
        board.feed(f"{HOME}/device/strap/x-{n}", sample(1, text="x" * 2000))
        board.feed(f"{HOME}/device/strap-{n}/info", {"name": "x" * 2000})
    held = pickle.dumps(board.gateways)
    assert 8_000 < len(held.replace(b"\0", b"")) < 30_000
    assert board.left_out == 40 - 4
    # Smaller ones and those in place of others are kept.
    board.feed(f"{HOME}/device/strap/x-0", sample(2, text="y" * 2000))
    board.feed(HEART_RATE, sample(1, heart_rate_bpm=70))
    assert board.stream().values["heart_rate_bpm"] == 70
    assert board.left_out == 36


def test_of_a_payload_with_many_keys_the_first_are_kept(board: FedBoard) -> None:
    board.feed(HEART_RATE, sample(1) | {f"value_{n}": n for n in range(500)})
    assert len(board.stream().values) == 64
    assert board.stream().values["id"] == "run-1"


def test_a_long_topic_is_counted_and_not_kept(board: FedBoard) -> None:
    board.feed(f"{HOME}/device/{'x' * 1000}/heart_rate", sample(1))
    board.feed(f"{HOME}/event/gap", GAP | {"peripheral": "x" * 1000})
    assert board.unreadable == 2
    assert entries(board) == 1


def test_the_memory_of_ids_is_bounded() -> None:
    ids = Ids()
    for n in range(5000):
        assert ids.is_new({"id": f"{n}" + "x" * 1000})
    assert len(pickle.dumps(ids)) < 512 * 64
    assert not ids.is_new({"id": "4999" + "x" * 1000})
    assert ids.is_new({"id": "0" + "x" * 1000}), "the oldest is forgotten"
