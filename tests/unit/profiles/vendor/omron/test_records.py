import random
from datetime import datetime
from typing import Any

import pytest

from healthd.profiles.blood_pressure import decode_blood_pressure
from healthd.profiles.vendor.omron.layouts import LAYOUTS
from healthd.profiles.vendor.omron.records import KIND, is_empty, read_record
from healthd.simulator.vendor.omron_memory import MAPS, Memory, Reading

LITTLE, BIG = LAYOUTS["HEM-7142T2"], LAYOUTS["HEM-7600T"]


def fields(layout: str, hex_: str, user: int = 1) -> dict[str, Any]:
    record = read_record(LAYOUTS[layout], bytes.fromhex(hex_), user)
    assert record is not None
    return record.fields()


# What owners' logs showed for them: eigger/hass-omron tests/test_record_parsers.py and #71.
@pytest.mark.parametrize(
    ("layout", "record", "expected"),
    [
        ("HEM-7142T2", "6558541a331ade1800004c00ba00", (126, 88, 84, "2026-06-17T19:35:30")),
        ("HEM-7142T2", "6457431a7316161c000046001900", (125, 87, 67, "2026-05-19T19:48:22")),
        ("HEM-7142T2", "5f5a621a72198c1180000e00eb14", (120, 90, 98, "2026-06-11T18:06:12")),
        ("HEM-7142T2", "645a611a7219041180000d006699", (125, 90, 97, "2026-06-11T18:04:04")),
        ("HEM-7142T2", "735d471a68190e1380000c005fa0", (140, 93, 71, "2026-06-11T08:12:14")),
        ("HEM-7600T", "5b781a4819d71b42000014006996", (145, 91, 72, "2026-06-14T23:45:02")),
    ],
)
def test_captured_records(layout: str, record: str, expected: tuple[int, int, int, str]) -> None:
    systolic, diastolic, pulse, time = expected
    assert fields(layout, record) == {
        "systolic_mmhg": systolic,
        "diastolic_mmhg": diastolic,
        "mean_arterial_pressure_mmhg": None,
        "pulse_rate_bpm": pulse,
        "device_time": time,
        "user_id": 1,
        "status": [],
    }


@pytest.mark.parametrize("layout", [LITTLE, BIG], ids=lambda layout: layout.order)
@pytest.mark.parametrize("record", [b"\xff" * 14, bytes(14)], ids=["never written", "prepared"])
def test_a_place_without_a_record(layout: Any, record: bytes) -> None:
    assert is_empty(layout, record)
    assert read_record(layout, record, 1) is None


def test_a_place_with_a_first_number_only_is_empty() -> None:
    assert is_empty(LITTLE, bytes([0x65, *bytes(13)]))
    assert is_empty(BIG, bytes([0, 0x65, *bytes(12)]))
    assert not is_empty(BIG, bytes([0x65, *bytes(13)]))


def test_the_greatest_systolic_pressure_marks_an_empty_place_only_on_little_endian_cuffs() -> None:
    rest = "58541a331ade1800004c00ba00"
    assert is_empty(LITTLE, bytes.fromhex("e2" + rest))
    assert not is_empty(LITTLE, bytes.fromhex("e1" + rest))
    assert fields("HEM-7600T", "5be21a4819d71b42000014006996")["systolic_mmhg"] == 226 + 25


@pytest.mark.parametrize(
    ("bits", "status"),
    [
        (0x0000_0000, ["cuff_too_loose"]),
        (0x0000_1000, []),
        (0x4000_1000, ["irregular_pulse"]),
        (0x8000_1000, ["body_movement"]),
        (0xC000_0000, ["body_movement", "cuff_too_loose", "irregular_pulse"]),
        # A low battery and a position for some sources; see the module.
        (0x0000_F000, []),
    ],
)
def test_flags(bits: int, status: list[str]) -> None:
    date, rest = 6 << 10 | 17 << 5 | 19 | bits >> 16, 35 << 6 | 30 | bits & 0xFFFF
    little = bytes([101, 88, 84, 26]) + date.to_bytes(2, "little") + rest.to_bytes(2, "little")
    big = bytes([88, 101, 26, 84]) + date.to_bytes(2, "big") + rest.to_bytes(2, "big")
    for layout, record in (("HEM-7142T2", little), ("HEM-7600T", big)):
        found = fields(layout, record.ljust(14, b"\0").hex())
        assert found["status"] == status
        assert found["device_time"] == "2026-06-17T19:35:30"


@pytest.mark.parametrize(
    ("date", "rest", "time"),
    [
        # Seconds that go on counting.
        (6 << 10 | 17 << 5 | 19, 35 << 6 | 63, "2026-06-17T19:35:59"),
        # A clock that was never set, or is wrong.
        (0 << 10 | 17 << 5 | 19, 35 << 6 | 30, "2026-XX-17T19:35:30"),
        (6 << 10 | 31 << 5 | 24, 60 << 6 | 30, "2026-06-XXTXX:XX:30"),
    ],
)
def test_times_that_are_none(date: int, rest: int, time: str) -> None:
    record = bytes([101, 88, 84, 26]) + date.to_bytes(2, "little") + rest.to_bytes(2, "little")
    assert fields("HEM-7142T2", record.ljust(14, b"\0").hex())["device_time"] == time


def test_the_year_has_six_bits() -> None:
    # Others are set in the records of some cuffs: userx14/omblepy deviceSpecific/hem-7530t.py.
    assert fields("HEM-7530T", "5b78da4819d71b42000014006996")["device_time"].startswith("2026")


def test_what_is_no_pressure_is_no_record() -> None:
    assert read_record(LITTLE, bytes.fromhex("0058541a331ade1800004c00ba00"), 1) is None
    assert read_record(LITTLE, bytes.fromhex("6500541a331ade1800004c00ba00"), 1) is None


def test_a_record_without_a_pulse_has_none() -> None:
    assert fields("HEM-7142T2", "6558001a331ade1800004c00ba00")["pulse_rate_bpm"] is None


def test_a_result_has_the_identity_that_it_has_with_a_standard_cuff() -> None:
    record = read_record(LITTLE, bytes.fromhex("6558541a331ade1800004c00ba00"), 2)
    assert record is not None
    # 2A35: flags, 126/88, no mean pressure, 2026-06-17 19:35:30, 84 per minute, user 2.
    packet = bytes.fromhex("0e7e005800ff07ea07061113231e540002")
    assert KIND.identity(record) == KIND.identity(decode_blood_pressure(packet)) is not None


@pytest.mark.parametrize("model", MAPS)
def test_records_of_each_layout_are_read_as_they_were_stored(model: str) -> None:
    layout, where = LAYOUTS[model], MAPS[model]
    shape = (layout.order, layout.index, layout.users, layout.records, layout.record_bytes)
    assert shape == (where.order, where.index, where.users, where.records, where.record_bytes)
    assert layout.most_bytes == where.most_bytes
    rng = random.Random(3)
    for user, address in enumerate(where.users, start=1):
        at = datetime(2063, 12, 31, 23, 59, 58)  # noqa: DTZ001 - a cuff knows no zone
        reading = Reading(at, 250, 139, 199, moved=True, cuff_fits=rng.random() < 0.5)
        memory = Memory(model)
        memory.store(user, reading)
        record = read_record(layout, memory.read(address, layout.record_bytes), user)
        assert record is not None
        assert (record.systolic_mmhg, record.diastolic_mmhg) == (250, 139)
        assert (record.pulse_rate_bpm, record.user_id) == (199, user)
        assert record.device_time == "2063-12-31T23:59:58"
        expected = ["body_movement"] + ["cuff_too_loose"] * (not reading.cuff_fits)
        assert record.status == expected


def test_any_bytes_are_a_record_or_none() -> None:
    rng = random.Random(4)
    made = 0
    for layout in LAYOUTS.values():
        for _ in range(2000):
            data = rng.randbytes(layout.record_bytes)
            record = read_record(layout, data, 1)
            made += record is not None
            if record is not None:
                assert 0 < (record.diastolic_mmhg or 0) < (record.systolic_mmhg or 0) <= 280
    assert made > 1000
