"""To which hour a sample belongs."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from healthd.backfill.reading import LeftOut, Reader, Reading
from healthd.backfill.series import Series, kinds
from healthd.mqtt.arrivals import Message
from healthd.profiles import registry

KINDS = kinds(registry.load())
BERLIN = ZoneInfo("Europe/Berlin")

# docs/mqtt.md: a sample of a strap, and one of a cuff.
STRAP: dict[str, Any] = {
    "id": "7f3a1c0e-18233",
    "time": "2026-11-24T02:03:31.123456Z",
    "clock": "synced",
    "seq": 18233,
    "heart_rate_bpm": 72,
    "sensor_contact_detected": True,
    "rr_intervals_ms": [812.5],
}
CUFF: dict[str, Any] = {
    "id": "7f3a1c0e-4",
    "time": "2026-11-24T20:00:00.000000Z",
    "clock": "synced",
    "seq": 4,
    "systolic_mmhg": 123,
    "diastolic_mmhg": 80.0,
    "pulse_rate_bpm": None,
    "device_time": "2026-11-23T07:30:00",
}


def read(payload: object, topic: str = "strap/heart_rate") -> Reading | None:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    reader = Reader(KINDS, "healthd", "gw", lambda: BERLIN)
    return reader.read(Message(f"healthd/gw/device/{topic}", text, retained=False))


def utc(reading: Reading | None) -> str:
    assert reading is not None
    return datetime.fromtimestamp(reading.at, ZoneInfo("UTC")).strftime("%Y-%m-%d %H:%M:%S")


def reason(payload: object, topic: str = "cuff/blood_pressure/history") -> str:
    with pytest.raises(LeftOut) as caught:
        read(payload, topic)
    return caught.value.reason


@pytest.mark.parametrize("topic", ["strap/heart_rate", "strap/heart_rate/history"])
def test_a_sample_belongs_to_its_time(topic: str) -> None:
    reading = read(STRAP, topic)
    assert utc(reading) == "2026-11-24 02:03:31"
    assert reading is not None
    assert (reading.run, reading.seq) == ("7f3a1c0e", 18233)
    assert reading.values == {Series("strap", "heart_rate", "heart_rate_bpm"): 72.0}


def test_a_result_from_a_devices_memory_belongs_to_the_time_of_its_measurement() -> None:
    # Berlin is an hour ahead of UTC in November.
    reading = read(CUFF, "cuff/blood_pressure/history")
    assert utc(reading) == "2026-11-23 06:30:00"
    assert reading is not None
    # null: the cuff has no pulse.
    assert {series.key for series in reading.values} == {"systolic_mmhg", "diastolic_mmhg"}


def test_the_newest_result_of_a_memory_comes_live_and_belongs_to_its_measurement_too() -> None:
    assert utc(read(CUFF, "cuff/blood_pressure")) == "2026-11-23 06:30:00"


def test_the_first_of_two_hours_with_the_same_name_in_autumn() -> None:
    autumn = CUFF | {"device_time": "2026-10-25T02:30:00"}
    assert utc(read(autumn, "cuff/blood_pressure/history")) == "2026-10-25 00:30:00"


def test_a_device_without_a_clock_is_dated_by_the_gateway() -> None:
    for unknown in (None, "2026-11-XXT07:30:00", "XXXX-XX-XXT07:30:00", "2026-11-23"):
        dated = CUFF | {"device_time": unknown}
        assert utc(read(dated, "cuff/blood_pressure/history")) == "2026-11-24 20:00:00"
    undated = {key: value for key, value in CUFF.items() if key != "device_time"}
    assert utc(read(undated, "cuff/blood_pressure/history")) == "2026-11-24 20:00:00"


def test_a_clock_that_is_some_minutes_ahead_does_not_reach_into_the_future() -> None:
    ahead = CUFF | {"device_time": "2026-11-24T21:08:00"}
    assert utc(read(ahead, "cuff/blood_pressure/history")) == "2026-11-24 20:00:00"


@pytest.mark.parametrize("wrong", ["2026-11-24T23:00:00", "2010-01-01T00:00:00"])
def test_a_device_clock_that_is_wrong(wrong: str) -> None:
    dated = CUFF | {"device_time": wrong}
    # Late: it may be from the memory, and then its time is unknown.
    assert reason(dated) == "device clock wrong"
    # Live: just now.
    assert utc(read(dated, "cuff/blood_pressure")) == "2026-11-24 20:00:00"


def test_a_time_of_a_clock_that_is_not_synchronised_is_left_out() -> None:
    assert reason(STRAP | {"clock": "unsynced"}, "strap/heart_rate") == "clock not synchronised"


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff",
        b"online",
        b"[1]",
        {},
        b"[" * 2000,
        STRAP | {"heart_rate_bpm": 1e308},
        STRAP | {"heart_rate_bpm": -(10**30)},
        STRAP | {"seq": 2**64},
        STRAP | {"seq": "1"},
        STRAP | {"seq": 0},
        STRAP | {"id": "nonumber"},
        STRAP | {"time": "yesterday"},
        STRAP | {"time": 1796000000},
        STRAP | {"time": "2026-13-41T02:03:31Z"},
    ],
)
def test_what_is_not_a_sample_is_left_out(broken: object) -> None:
    assert reason(broken, "strap/heart_rate") in ("not a sample", "clock not synchronised")


@pytest.mark.parametrize("value", [True, "72", None, [72]])
def test_only_numbers_are_values(value: object) -> None:
    reading = read(STRAP | {"heart_rate_bpm": value})
    assert reading is not None
    assert reading.values == {}


@pytest.mark.parametrize(
    "topic",
    [
        "strap/status",
        "strap/info",
        "strap/ecg",
        "strap/undecoded/2a37",
        "cuff/intermediate_cuff_pressure",
    ],
)
def test_other_topics_are_ignored(topic: str) -> None:
    assert read(b"online", topic) is None


def test_other_gateways_and_removed_results_are_ignored() -> None:
    reader = Reader(KINDS, "healthd", "gw", lambda: BERLIN)
    text = json.dumps(STRAP).encode()
    other = Message("healthd/attic/device/strap/heart_rate", text, retained=False)
    assert reader.read(other) is None
    assert read(b"", "scale/weight") is None


def test_a_persons_values_are_also_a_series_of_their_own() -> None:
    weight = STRAP | {"weight_kg": 82.3, "person": "anna"}
    reading = read(weight, "scale/weight")
    assert reading is not None
    assert reading.values == {
        Series("scale", "weight", "weight_kg"): 82.3,
        Series("scale", "weight", "weight_kg", "anna"): 82.3,
    }
    nameless = read(weight | {"person": None}, "scale/weight")
    assert nameless is not None
    assert set(nameless.values) == {Series("scale", "weight", "weight_kg")}
