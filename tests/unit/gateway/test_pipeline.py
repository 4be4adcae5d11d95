"""The pipeline: values in, samples and facts out."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import orjson
import pytest

from healthd.events import ControlEvent
from healthd.gateway.held_results import HeldResult
from healthd.gateway.hooks import Hooks
from healthd.gateway.pipeline import Pipeline
from healthd.host.clock import Clock
from healthd.mqtt.devices import Devices
from healthd.mqtt.payloads import Payload
from healthd.mqtt.topics import Topics, person_stream
from healthd.outbox.continuity import End, PreviousRun
from healthd.outbox.outbox import Outbox
from healthd.profiles import registry
from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.profile import Profile
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.samples import Measurement, Record, Sample, Stamp, Taken, quantity, utc_text
from healthd.sessions.periodic import Fetched
from healthd.sessions.session import State

KNOWN = registry.load().characteristics
SECOND_NS = 1_000_000_000
HEART_RATE, BATTERY, MAKER, MODEL, PNP_ID, WEIGHT_FEATURES, BODY_FEATURES = (
    KNOWN[uuid] for uuid in ("2a37", "2a19", "2a29", "2a24", "2a50", "2a9e", "2a9b")
)
MACHINE_STATUS = KNOWN["2ada"]


class Weight(Measurement):
    """The measurement of a characteristic that only these tests have."""

    kind: ClassVar[str] = "weight"

    weight_kg: Annotated[int, quantity("kg")]


def decode_weight(data: bytes) -> Weight:
    cursor = Cursor(data)
    return Weight(**cursor.finish({"weight_kg": cursor.u8()}))


WEIGHT = Characteristic("ee01", Weight, decode_weight, Use.STREAM)
STATUS = Characteristic("ee02", Weight, decode_weight, Use.STATUS)
POINT = Characteristic("ee03", Weight, decode_weight, Use.CONTROL)
FEATURE = Characteristic("ee04", Weight, decode_weight, Use.STATIC)
ADVERTISED = Broadcast(
    uuid="advertised",
    model=Weight,
    decode=decode_weight,
    use=Use.STREAM,
    keys=("service_data_fff0",),
)


class Heavier(Measurement):
    """What a profile's state makes from a weight."""

    kind: ClassVar[str] = "heavier"

    weight_kg: Annotated[int, quantity("kg")]
    wheel_m: Annotated[float, quantity("m")]


class Scale:
    """Remembers its input; a weight of N kg yields N measurements, a second apart."""

    links: ClassVar[list["Scale"]] = []

    def __init__(self, options: Options) -> None:
        self.options = options
        self.received: list[tuple[Measurement, int]] = []
        self.links.append(self)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterator[Timed]:
        self.received.append((measurement, mono_ns))
        assert isinstance(measurement, Weight)
        wheel_m, count = self.options.wheel_circumference_m, measurement.weight_kg
        for number in range(count):
            heavier = Heavier(weight_kg=number, wheel_m=wheel_m)
            yield Timed(heavier, mono_ns - (count - 1 - number) * SECOND_NS)


class Holding(Scale):
    """Holds one back until the next one comes."""

    links: ClassVar[list[Scale]] = []

    def take(self, measurement: Measurement, mono_ns: int) -> Iterator[Timed]:
        yield from self.end()
        self.received.append((measurement, mono_ns))

    def end(self) -> Iterator[Timed]:
        while self.received:
            yield Timed(*self.received.pop())


PROFILES = Registry(
    [
        *registry.load().profiles.values(),
        Profile("a_plain_one", "fff0", (WEIGHT, STATUS)),
        Profile("b_scale", "fff1", (WEIGHT, STATUS, POINT, FEATURE), state=Scale),
        Profile("c_holding", "fff2", (WEIGHT,), state=Holding),
        Profile("d_broadcaster", broadcasts=(ADVERTISED,), state=Scale),
    ]
)


class Box:
    """Receives samples in place of the outbox."""

    def __init__(self) -> None:
        self.previous_runs: list[PreviousRun] = []
        self.records: dict[str, dict[Taken, bool]] = {}
        self.samples: list[Sample] = []
        self.events: list[Sample] = []

    def put(self, sample: Sample) -> None:
        (self.samples if sample.peripheral else self.events).append(sample)

    def update_records(self, *_: object) -> None:
        pass

    @property
    def sample(self) -> Sample:
        (sample,) = self.samples
        return sample

    @property
    def payload(self) -> dict[str, Any]:
        return orjson.loads(self.sample.payload())


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def retained() -> dict[str, bytes]:
    return {}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Clock(tmp_path), {})


@pytest.fixture
def pipeline(box: Box, run: Run, retained: dict[str, bytes]) -> Pipeline:
    def retain(topic: str, payload: Payload | bytes) -> None:
        retained[topic] = payload if isinstance(payload, bytes) else payload.encoded()

    devices = Devices(Topics("healthd", "home"), retain)
    options = {"strap": Options(wheel_circumference_m=2.5), "other": Options()}
    pipeline = Pipeline(run, cast(Outbox, box), devices, PROFILES)
    for peripheral, of_peripheral in options.items():
        pipeline.add(peripheral, of_peripheral, periodic=False)
    pipeline.start()
    for peripheral in ("strap", "other"):
        pipeline.on_state(peripheral, State.PREPARING, None)
        pipeline.on_linked(peripheral, "Polar H10", ["heart_rate"])
        pipeline.on_state(peripheral, State.STREAMING, None)
    Scale.links.clear()
    return pipeline


def link(pipeline: Pipeline, *profiles: str, peripheral: str = "strap", name: str = "x") -> None:
    """Begin a new link, to a device with these profiles."""
    pipeline.on_state(peripheral, State.WAITING, "link_lost")
    pipeline.on_linked(peripheral, name, list(profiles))
    pipeline.on_state(peripheral, State.STREAMING, None)


def gaps(box: Box) -> list[dict[str, Any]]:
    return [one.measurement.fields() for one in box.events if one.stream == "event/gap"]


def info(retained: dict[str, bytes]) -> dict[str, Any]:
    return orjson.loads(retained["healthd/home/device/strap/info"])


def test_a_value_becomes_a_sample(pipeline: Pipeline, box: Box, run: Run) -> None:
    before = run.clock.now()
    pipeline.on_value("strap", HEART_RATE, b"\x00\x48")
    after = run.clock.now()
    sample = box.sample
    assert (sample.peripheral, sample.stream, sample.run) == ("strap", "heart_rate", run.id)
    assert before.mono_ns <= sample.stamp.mono_ns <= after.mono_ns
    assert sample.stamp.clock == "unsynced"  # like the clock of the run
    assert box.payload["heart_rate_bpm"] == 72


def test_numbers_of_a_stream_have_no_holes(pipeline: Pipeline, box: Box) -> None:
    for value in (b"\x00\x48", b"\x00", b"\x00\x49", b"", b"\x00\x4a"):
        pipeline.on_value("strap", HEART_RATE, value)
        pipeline.on_value("other", HEART_RATE, value)
    numbers: dict[tuple[str, str], list[int]] = {}
    for sample in box.samples:
        numbers.setdefault((sample.peripheral, sample.stream), []).append(sample.seq)
    assert numbers == {
        ("strap", "heart_rate"): [1, 2, 3],
        ("other", "heart_rate"): [1, 2, 3],
        ("strap", "undecoded/2a37"): [1, 2],
        ("other", "undecoded/2a37"): [1, 2],
    }


def test_numbers_go_on_over_a_new_link(pipeline: Pipeline, box: Box) -> None:
    pipeline.on_value("strap", HEART_RATE, b"\x00\x48")
    pipeline.on_state("strap", State.WAITING, "link_lost")
    pipeline.on_state("strap", State.STREAMING, None)
    pipeline.on_value("strap", HEART_RATE, b"\x00\x49")
    assert [one.seq for one in box.samples if one.stream == "heart_rate"] == [1, 2]
    gap = next(one for one in box.events if one.stream == "event/gap")
    assert gap.measurement.fields()["reason"] == "link_lost"


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x01\x48"])
def test_an_undecodable_value_is_published_as_hex(
    pipeline: Pipeline, box: Box, value: bytes
) -> None:
    pipeline.on_value("strap", HEART_RATE, value)
    assert box.sample.stream == "undecoded/2a37"
    assert box.payload["hex"] == value.hex()
    assert box.payload["size_bytes"] == len(value)
    assert "offset" in box.payload["error"]
    assert box.sample.schema == "undecoded/1"


def test_static_facts_go_to_the_device_info_and_are_not_samples(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", MAKER, b"Polar")
    pipeline.on_value("strap", PNP_ID, bytes.fromhex("01 6b00 0200 3412"))
    assert box.samples == []
    assert (
        info(retained).items()
        >= {
            "maker": "Polar",
            "vendor_id_source": "bluetooth",
            "product_id": 2,
            "name": "Polar H10",
        }.items()
    )


def test_features_are_published_under_the_name_of_their_kind(
    pipeline: Pipeline, retained: dict[str, bytes]
) -> None:
    """Two scales in one device both have features; neither may hide those of the other."""
    pipeline.on_value("strap", WEIGHT_FEATURES, bytes.fromhex("05000000"))
    pipeline.on_value("strap", BODY_FEATURES, bytes.fromhex("02000000"))
    known = info(retained)
    assert known["weight_scale_features"]["features"] == ["timestamp", "bmi"]
    assert known["body_composition_features"]["features"] == ["multiple_users"]
    assert "features" not in known


def test_trailing_bytes_of_a_fact_are_not_in_the_device_info(
    pipeline: Pipeline, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", PNP_ID, bytes.fromhex("01 6b00 0200 3412 ff"))
    assert info(retained)["product_id"] == 2
    assert info(retained).keys().isdisjoint({"truncated", "trailing_bytes"})


def test_an_undecodable_fact_is_published_as_hex(pipeline: Pipeline, box: Box) -> None:
    pipeline.on_value("strap", PNP_ID, b"\x01")
    assert box.sample.stream == "undecoded/2a50"


def test_a_status_is_a_sample_and_in_the_device_info(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", BATTERY, b"\x5f")
    assert (box.sample.stream, box.payload["level_pct"]) == ("battery", 95)
    assert info(retained)["battery"] == {"level_pct": 95}


def test_a_machine_event_is_a_sample_and_in_the_device_info_until_the_next_one(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", MACHINE_STATUS, bytes.fromhex("08 c800"))
    assert (box.sample.stream, box.payload["power_w"]) == ("fitness_machine_status", 200)
    event = info(retained)["fitness_machine_status"]
    assert (event["name"], event["power_w"]) == ("target_power_changed", 200)
    pipeline.on_value("strap", MACHINE_STATUS, bytes.fromhex("04"))
    event = info(retained)["fitness_machine_status"]
    assert (event["name"], event.get("power_w")) == ("started_or_resumed_by_user", None)


def test_a_stream_is_named_after_its_measurement(pipeline: Pipeline, box: Box) -> None:
    pipeline.on_value("strap", WEIGHT, b"\x50")
    assert (box.sample.stream, box.payload["weight_kg"]) == ("weight", 80)


@pytest.mark.parametrize("state", State)
def test_online_is_streaming(pipeline: Pipeline, retained: dict[str, bytes], state: State) -> None:
    pipeline.on_state("strap", state, None)
    online = retained["healthd/home/device/strap/status"] == b"online"
    assert online is (state is State.STREAMING)
    assert info(retained)["state"] == state.value


def test_a_link_event_when_streaming_begins_and_when_it_ends(pipeline: Pipeline, box: Box) -> None:
    pipeline.on_state("strap", State.WAITING, "link_lost")
    box.events.clear()
    for state, reason in (
        (State.SEARCHING, None),
        (State.WAITING, "not_found"),  # a failed try puts no event
        (State.STREAMING, None),
        (State.WAITING, "adapter_off"),
        (State.WAITING, "not_found"),
        (State.STREAMING, None),
        (State.DISABLED, None),
    ):
        pipeline.on_state("strap", state, reason)
    events = [one for one in box.events if one.stream == "event/link"]
    assert [one.measurement.fields() for one in events] == [
        {"peripheral": "strap", "change": "up"},
        {"peripheral": "strap", "change": "down", "reason": "adapter_off"},
        {"peripheral": "strap", "change": "up"},
        {"peripheral": "strap", "change": "down", "reason": "stopped"},
    ]


@pytest.mark.parametrize(
    ("stream", "characteristic", "value"),
    [
        ("battery", BATTERY, b"\x33"),
        ("heart_rate", HEART_RATE, b"\x00\x48"),
        ("undecoded/2a37", HEART_RATE, b""),
        ("undecoded/2a19", BATTERY, b""),
        ("fitness_machine_status", MACHINE_STATUS, b"\x04"),
    ],
)
def test_what_a_kill_may_have_lost_is_reported_for_every_stream(
    box: Box, run: Run, stream: str, characteristic: Characteristic, value: bytes
) -> None:
    """D21: samples of a battery have numbers like all others, and can be lost like them."""
    ends = {("strap", stream): End(7, 1_795_485_811_000_000_000)}
    box.previous_runs = [PreviousRun("before", False, 1_795_485_800_000_000_000, ends)]

    def retain(_topic: str, _payload: Payload | bytes) -> None:
        pass

    devices = Devices(Topics("healthd", "home"), retain)
    pipeline = Pipeline(run, cast(Outbox, box), devices, PROFILES)
    pipeline.add("strap", Options(), periodic=False)
    pipeline.start()
    link(pipeline, "heart_rate")
    pipeline.on_value("strap", characteristic, value)
    pipeline.on_value("strap", characteristic, value)
    (gap,) = gaps(box)
    assert (gap["reason"], gap["stream"], gap["run"]) == ("unclean_stop", stream, "before")
    assert gap["first_seq"] == 8
    # But silence is no gap of a status.
    link(pipeline, "heart_rate")
    pipeline.on_value("strap", characteristic, value)
    lost = [gap for gap in gaps(box) if gap["reason"] == "link_lost"]
    assert len(lost) == (characteristic is not BATTERY)


def test_what_a_kill_may_have_lost_is_reported_for_the_results_of_a_person(
    box: Box, run: Run
) -> None:
    """D21: they have numbers of their own."""
    stream = person_stream("anna", "body_composition")
    ends = {("strap", stream): End(7, 1_795_485_811_000_000_000)}
    box.previous_runs = [PreviousRun("before", False, 1_795_485_800_000_000_000, ends)]

    def of_anna(_peripheral: str, timed: Timed) -> Measurement:
        return timed.measurement.model_copy(update={"person": "anna"})

    def retain(_topic: str, _payload: Payload | bytes) -> None:
        pass

    devices = Devices(Topics("healthd", "home"), retain)
    pipeline = Pipeline(run, cast(Outbox, box), devices, PROFILES, Hooks(finish=of_anna))
    pipeline.add("strap", Options(), periodic=False)
    pipeline.start()
    link(pipeline, "body_composition")
    composition = KNOWN["2a9c"].decode(bytes.fromhex("0000fa00"))
    result = HeldResult("strap", Timed(composition, 0, finished=True), 1, "synced")
    pipeline.start([result])
    reported = {gap["stream"]: gap.get("first_seq") for gap in gaps(box)}
    assert reported[stream] == 8


def test_values_left_out_are_reported_under_the_name_of_their_kind(
    pipeline: Pipeline, box: Box
) -> None:
    async def leave_out() -> None:
        for _ in range(3):
            pipeline.on_too_fast("strap", "2a37")
        pipeline.on_state("strap", State.DISABLED, None)

    asyncio.run(leave_out())
    (gap,) = gaps(box)
    assert (gap["stream"], gap["reason"], gap["count"]) == ("heart_rate", "too_fast", 3)


# The state of a profile, which lives as long as a link


def test_control_point_messages_are_not_published(pipeline: Pipeline, box: Box) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", POINT, b"\x00")
    pipeline.on_value("strap", POINT, b"")  # not understood
    link(pipeline, "a_plain_one")
    pipeline.on_value("strap", POINT, b"\x01")
    assert box.samples == []


def test_each_link_begins_a_new_memory(pipeline: Pipeline) -> None:
    link(pipeline, "b_scale")
    link(pipeline, "b_scale", peripheral="other")
    pipeline.on_value("strap", WEIGHT, b"\x01")
    pipeline.on_value("other", WEIGHT, b"\x02")
    link(pipeline, "b_scale")
    pipeline.on_value("strap", WEIGHT, b"\x03")
    received = [[one.fields()["weight_kg"] for one, _ in scale.received] for scale in Scale.links]
    assert received == [[1], [2], [3]]
    assert [one.options.wheel_circumference_m for one in Scale.links] == [2.5, 2.105, 2.5]


def test_a_state_that_holds_back_publishes_nothing(pipeline: Pipeline, box: Box) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", WEIGHT, b"\x00")
    assert len(Scale.links[0].received) == 1
    assert box.samples == []


def test_measurements_of_a_state_are_placed_on_both_clocks(
    pipeline: Pipeline, box: Box, run: Run
) -> None:
    link(pipeline, "b_scale")
    before = run.clock.now()
    pipeline.on_value("strap", WEIGHT, b"\x03")
    after = run.clock.now()
    ((_, arrived_ns),) = Scale.links[0].received
    assert before.mono_ns <= arrived_ns <= after.mono_ns
    assert [(one.stream, one.seq) for one in box.samples] == [
        ("heavier", 1),
        ("heavier", 2),
        ("heavier", 3),
    ]
    mono = [one.stamp.mono_ns for one in box.samples]
    wall = [one.stamp.wall_ns for one in box.samples]
    assert mono == [arrived_ns - 2 * SECOND_NS, arrived_ns - SECOND_NS, arrived_ns]
    assert [second - first for first, second in itertools.pairwise(wall)] == ([SECOND_NS] * 2)
    assert before.wall_ns <= wall[2] <= after.wall_ns
    # The outbox counts from arrival, however old the first sample of a burst is.
    assert [one.arrived_ns for one in box.samples] == [arrived_ns] * 3


def test_a_status_reaches_the_state_and_the_device_info(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", STATUS, b"\x01")
    assert box.sample.stream == "heavier"
    assert info(retained)["weight"] == {"weight_kg": 1}


def test_a_fact_reaches_only_the_device_info(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", FEATURE, b"\x01")
    assert Scale.links[0].received == []
    assert box.samples == []
    assert info(retained)["weight"] == {"weight_kg": 1}


def test_a_gap_is_reported_for_data_held_back_until_the_control_point_answers(
    pipeline: Pipeline, box: Box
) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", POINT, b"\x01")
    link(pipeline, "b_scale")
    pipeline.on_value("strap", POINT, b"\x01")
    assert [gap["stream"] for gap in gaps(box)] == ["heavier"]


def test_a_gap_ends_where_the_first_sample_after_it_was_made(pipeline: Pipeline, box: Box) -> None:
    link(pipeline, "b_scale")
    pipeline.on_value("strap", WEIGHT, b"\x02")
    last = box.samples[-1]
    link(pipeline, "b_scale")
    pipeline.on_value("strap", WEIGHT, b"\x00")  # held back: the gap is not over yet
    assert gaps(box) == []
    pipeline.on_value("strap", WEIGHT, b"\x01")
    pipeline.on_value("strap", WEIGHT, b"\x02")
    first = box.samples[2]
    (gap,) = gaps(box)
    assert (gap["stream"], gap["reason"]) == ("heavier", "link_lost")
    assert gap["first"] == utc_text(last.stamp.wall_ns)
    assert gap["last"] == utc_text(first.stamp.wall_ns)


@pytest.mark.parametrize("state", [State.WAITING, State.DISABLED])
def test_what_is_held_back_is_published_once_when_the_link_ends(
    pipeline: Pipeline, box: Box, state: State
) -> None:
    link(pipeline, "c_holding")
    pipeline.on_value("strap", WEIGHT, b"\x01")
    pipeline.on_value("strap", WEIGHT, b"\x02")
    ((_, arrived_ns),) = Holding.links[-1].received
    pipeline.on_state("strap", state, "link_lost")
    pipeline.on_state("strap", state, "link_lost")
    weights = [one.measurement.fields()["weight_kg"] for one in box.samples]
    assert weights == [1, 2]
    last = box.samples[-1]
    assert last.stamp.mono_ns == arrived_ns
    assert last.arrived_ns > arrived_ns
    # It was measured before the gap, not after it.
    assert gaps(box) == []
    link(pipeline, "c_holding")
    pipeline.on_value("strap", WEIGHT, b"\x03")
    pipeline.on_value("strap", WEIGHT, b"\x04")
    assert [gap["first"] for gap in gaps(box)] == [utc_text(last.stamp.wall_ns)]


def test_a_run_of_a_periodic_peripheral_is_published(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    pipeline.on_state("strap", State.WAITING, "scheduled")
    before = pipeline.sample_count("strap")
    pipeline.on_value("strap", HEART_RATE, b"\x00\x48")
    pipeline.on_value("strap", MAKER, b"Polar")
    assert pipeline.sample_count("strap") - before == 1, "facts are not samples"
    due_ns = 1_795_485_811_000_000_000
    pipeline.on_fetched("strap", Fetched("0a0b0c0d", "new_data", None, 1.25, 1, due_ns))
    pipeline.on_due("strap", due_ns + 900 * SECOND_NS)
    event = next(one for one in box.events if one.stream == "event/fetch")
    assert event.measurement.fields() == {
        "peripheral": "strap",
        "fetch_run": "0a0b0c0d",
        "outcome": "new_data",
        "reason": None,
        "duration_s": 1.25,
        "samples": 1,
        "due": utc_text(due_ns),
    }
    info = orjson.loads(retained["healthd/home/device/strap/info"])
    next_due = utc_text(due_ns + 900 * SECOND_NS)
    assert info["fetch"] == {"outcome": "new_data", "reason": None, "next_due": next_due}
    pipeline.on_linked("strap", "Strap", [])
    pipeline.on_state("strap", State.STREAMING, None)
    again = orjson.loads(retained["healthd/home/device/strap/info"])
    assert again["fetch"] == info["fetch"]


def test_control_is_an_event_and_in_the_device_info_until_the_link_ends(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    def info() -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(retained["healthd/home/device/strap/info"])
        return found

    pipeline.on_state("strap", State.STREAMING, None)
    assert "controlled" not in info()
    changes = ("granted", "set", "refused", "released", "granted", "lost", "granted", "started")
    controlled: list[bool] = []
    for change in (*changes, "release_failed"):
        fields = {"peripheral": "strap", "change": change}
        pipeline.on_control(ControlEvent.of(fields))
        event = box.events[-1]
        assert (event.stream, event.measurement.fields()) == ("event/control", fields)
        controlled.append(info()["controlled"])
    assert controlled == [True, True, True, False, True, False, True, True, False]
    pipeline.on_linked("strap", "Strap", [])
    pipeline.on_state("strap", State.STREAMING, None)
    assert "controlled" not in info()


# Results that are held back


CUFF = KNOWN["2a35"]
NEW, OLD = (
    bytes.fromhex(packet)
    for packet in ("067b0050000000e907070f0f00004600", "067d0050000000e907070d0900004600")
)


@pytest.fixture
def held() -> list[Timed]:
    return []


@pytest.fixture
def changed() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def with_cuff(box: Box, run: Run, held: list[Timed], changed: asyncio.Event) -> Pipeline:
    """Return a pipeline with a linked cuff, which notes what is held back."""

    def note(_p: str, now_held: Iterable[Timed], _records: Records, _now: Stamp) -> None:
        held[:] = now_held
        changed.set()

    def finish(peripheral: str, timed: Timed) -> Measurement:
        assert (peripheral, timed.finished) == ("cuff", True)
        return timed.measurement.model_copy(update={"user_id": 7})

    devices = Devices(Topics("healthd", "home"), lambda _topic, _payload: None)
    hooks = Hooks(on_held=note, finish=finish)
    pipeline = Pipeline(run, cast(Outbox, box), devices, PROFILES, hooks)
    pipeline.add("cuff", Options(records=pipeline.records("cuff")), periodic=False)
    link(pipeline, "blood_pressure", peripheral="cuff")
    return pipeline


def upper(box: Box) -> list[tuple[float, bool]]:
    return [(one.measurement.fields()["systolic_mmhg"], one.stored) for one in box.samples]


async def test_a_result_is_published_when_nothing_newer_has_followed(
    with_cuff: Pipeline,
    box: Box,
    held: list[Timed],
    changed: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.profiles.results.episodes.MEMORY_QUIET_S", 0.05)
    monkeypatch.setattr("healthd.profiles.blood_pressure.QUIET_S", 0.05)
    with_cuff.on_value("cuff", CUFF, NEW)
    with_cuff.on_value("cuff", CUFF, OLD)
    assert len(held) == 1
    async with asyncio.timeout(20):
        while held:
            changed.clear()
            await changed.wait()
    assert upper(box) == [(125, True), (123, False)]
    assert {one.measurement.fields()["user_id"] for one in box.samples} == {7}


async def test_the_end_of_the_link_publishes_what_is_held_back(
    with_cuff: Pipeline, box: Box, held: list[Timed]
) -> None:
    with_cuff.on_value("cuff", CUFF, NEW)
    assert upper(box) == []
    with_cuff.on_state("cuff", State.DISABLED, None)
    assert (upper(box), held) == ([(123, False)], [])


async def test_a_value_after_the_end_of_a_link_is_published_with_the_next_one(
    with_cuff: Pipeline, box: Box
) -> None:
    with_cuff.on_state("cuff", State.WAITING, "link_lost")
    with_cuff.on_value("cuff", CUFF, NEW)
    with_cuff.on_linked("cuff", "x", ["blood_pressure"])
    assert upper(box) == [(123, False)]


def test_a_result_that_an_earlier_run_held_back_is_published_once(
    box: Box, run: Run, with_cuff: Pipeline
) -> None:
    made = CUFF.decode(NEW)
    record = Record("", 0, "2025-07-15T15:00:00 None 123.0 80.0 70.0")
    result = HeldResult("cuff", Timed(made, 0, record, finished=True), 10**18, "synced")
    with_cuff.start([result, result])
    assert upper(box) == [(123, False)]
    assert (box.sample.stamp.wall_ns, box.sample.record) == (10**18, record)


@pytest.mark.parametrize("wall_ns", [2 * 10**18, -1, 2**63])
def test_a_result_of_an_earlier_run_is_not_from_the_future(
    box: Box, run: Run, with_cuff: Pipeline, monkeypatch: pytest.MonkeyPatch, wall_ns: int
) -> None:
    monkeypatch.setattr(run.clock, "now", lambda: Stamp(10**18, 10**12, "synced"))
    timed = Timed(CUFF.decode(NEW), 0, Record("", 0, "2025-07-15T15:00:00"), finished=True)
    with_cuff.start([HeldResult("cuff", timed, wall_ns, "synced")])
    assert box.sample.stamp.wall_ns == 10**18


def test_an_older_result_of_an_earlier_run_is_history(box: Box, with_cuff: Pipeline) -> None:
    record = Record("", 0, "2025-07-15T15:00:00 None 123.0 80.0 70.0")
    box.records = {"cuff": {("blood_pressure", record): False}}
    older = Record("", 0, "2025-07-13T09:00:00 None 125.0 80.0 70.0")
    timed = Timed(CUFF.decode(OLD), 0, older, finished=True)
    with_cuff.start([HeldResult("cuff", timed, 10**18, "synced")])
    assert upper(box) == [(125, True)]


# Devices that only advertise


def heard(pipeline: Pipeline, name: str | None = "x", address: str = "A", *more: str) -> None:
    pipeline.on_heard("strap", name, ["d_broadcaster", *more], address)
    pipeline.on_state("strap", State.STREAMING, None)


def test_what_is_advertised_becomes_samples(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    heard(pipeline, "Sca\x07le")
    pipeline.on_value("strap", ADVERTISED, b"\x02")
    assert [one.stream for one in box.samples] == ["heavier", "heavier"]
    assert info(retained)["profiles"] == ["d_broadcaster"]
    assert info(retained)["name"] == "Scale"
    pipeline.on_value("strap", ADVERTISED, b"")
    assert box.samples[-1].stream == "undecoded/advertised"


def test_one_memory_as_long_as_the_same_device_is_heard(
    pipeline: Pipeline, retained: dict[str, bytes]
) -> None:
    heard(pipeline, None)
    heard(pipeline, "Scale")
    assert info(retained)["name"] == "Scale"
    assert len(Scale.links) == 1
    heard(pipeline, "Scale", "B")
    heard(pipeline, "Scale", "B", "battery")
    assert len(Scale.links) == 3
    pipeline.on_state("strap", State.SEARCHING, "silent")
    heard(pipeline, "Scale", "B", "battery")
    assert len(Scale.links) == 4
    assert retained["healthd/home/device/strap/status"] == b"online"


def test_the_silence_of_a_broadcaster_is_a_gap(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    heard(pipeline)
    pipeline.on_value("strap", ADVERTISED, b"\x01")
    last = box.samples[-1]
    pipeline.on_state("strap", State.SEARCHING, "silent")
    assert retained["healthd/home/device/strap/status"] == b"offline"
    assert info(retained)["reason"] == "silent"
    heard(pipeline)
    pipeline.on_value("strap", ADVERTISED, b"\x01")
    (gap,) = gaps(box)
    assert (gap["stream"], gap["reason"]) == ("heavier", "silent")
    assert gap["first"] == utc_text(last.stamp.wall_ns)


async def test_values_over_the_share_of_a_broadcaster_are_reported(
    pipeline: Pipeline, box: Box
) -> None:
    heard(pipeline)
    pipeline.on_too_fast("strap", "advertised")
    pipeline.on_state("strap", State.DISABLED, None)
    assert [(gap["stream"], gap["reason"]) for gap in gaps(box)] == [("weight", "too_fast")]


async def test_what_is_held_back_of_one_of_two_devices_is_not_published(
    with_cuff: Pipeline, box: Box, held: list[Timed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.profiles.results.episodes.MEMORY_QUIET_S", 0.05)
    monkeypatch.setattr("healthd.profiles.blood_pressure.QUIET_S", 0.05)
    with_cuff.on_value("cuff", CUFF, NEW)
    assert len(held) == 1
    with_cuff.on_state("cuff", State.WAITING, "ambiguous")
    assert held == []
    await asyncio.sleep(0.2)
    with_cuff.on_value("cuff", CUFF, NEW)
    with_cuff.on_state("cuff", State.DISABLED, None)
    assert box.samples == []
