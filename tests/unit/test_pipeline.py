"""Values in; samples and facts out."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import orjson
import pytest

from healthd.central.session import State
from healthd.clock import Clock
from healthd.mqtt.devices import Devices
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import Previous
from healthd.outbox.outbox import Outbox
from healthd.pipeline import Pipeline
from healthd.profiles import registry
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.cursor import Cursor
from healthd.runs import Run
from healthd.samples import Measurement, Sample, quantity

KNOWN = registry.load().characteristics
HEART_RATE, BATTERY, MAKER, PNP_ID = (KNOWN[uuid] for uuid in ("2a37", "2a19", "2a29", "2a50"))


class Weight(Measurement):
    """A characteristic of the tests' own."""

    kind: ClassVar[str] = "weight"

    weight_kg: Annotated[int, quantity("kg")]


def decode_weight(data: bytes) -> Weight:
    cursor = Cursor(data)
    return Weight(**cursor.finish({"weight_kg": cursor.u8()}))


WEIGHT = Characteristic("2a9d", Weight, decode_weight, Use.STREAM)


class Box:
    """Takes what the outbox would take."""

    def __init__(self) -> None:
        self.before: list[Previous] = []
        self.samples: list[Sample] = []
        self.events: list[Sample] = []

    def put(self, sample: Sample) -> None:
        (self.samples if sample.peripheral else self.events).append(sample)

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
    devices = Devices(Topics("healthd", "home"), retained.__setitem__)
    pipeline = Pipeline(run, cast(Outbox, box), devices)
    pipeline.start()
    for peripheral in ("strap", "other"):
        pipeline.on_state(peripheral, State.PREPARING, None)
        pipeline.on_linked(peripheral, "Polar H10", ["heart_rate"])
        pipeline.on_state(peripheral, State.STREAMING, None)
    return pipeline


def info(retained: dict[str, bytes]) -> dict[str, Any]:
    return orjson.loads(retained["healthd/home/device/strap/info"])


def test_a_value_becomes_a_sample(pipeline: Pipeline, box: Box, run: Run) -> None:
    before = run.clock.now()
    pipeline.on_value("strap", HEART_RATE, b"\x00\x48")
    after = run.clock.now()
    sample = box.sample
    assert (sample.peripheral, sample.stream, sample.run) == ("strap", "heart_rate", run.id)
    assert before.mono_ns <= sample.stamp.mono_ns <= after.mono_ns
    assert sample.stamp.clock == "unsynced"  # as that clock says
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
def test_what_cannot_be_decoded_is_published_as_it_came(
    pipeline: Pipeline, box: Box, value: bytes
) -> None:
    pipeline.on_value("strap", HEART_RATE, value)
    assert box.sample.stream == "undecoded/2a37"
    assert box.payload["hex"] == value.hex()
    assert box.payload["size_bytes"] == len(value)
    assert "offset" in box.payload["error"]
    assert box.sample.schema == "undecoded/1"


def test_static_facts_are_the_devices_and_no_sample(
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


def test_surplus_bytes_of_a_fact_are_not_the_devices(
    pipeline: Pipeline, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", PNP_ID, bytes.fromhex("01 6b00 0200 3412 ff"))
    assert info(retained)["product_id"] == 2
    assert info(retained).keys().isdisjoint({"truncated", "trailing_bytes"})


def test_a_fact_that_cannot_be_decoded_is_still_data(pipeline: Pipeline, box: Box) -> None:
    pipeline.on_value("strap", PNP_ID, b"\x01")
    assert box.sample.stream == "undecoded/2a50"


def test_a_status_is_a_sample_and_the_devices(
    pipeline: Pipeline, box: Box, retained: dict[str, bytes]
) -> None:
    pipeline.on_value("strap", BATTERY, b"\x5f")
    assert (box.sample.stream, box.payload["level_pct"]) == ("battery", 95)
    assert info(retained)["battery"] == {"level_pct": 95}


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
        (State.WAITING, "not_found"),  # a try in vain is nobody's news
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
