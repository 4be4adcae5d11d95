"""What is published of a PM5: one record for several packets, strokes, splits, workouts."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from tests.unit.profiles.vendor.pm5.monitor import (
    Monitor,
    Sent,
    as_multiplexed,
    published,
    recording,
)

ROW = recording()
GENERAL = bytes.fromhex("e8030086010003010101040000006400008061")
STATUS = bytes.fromhex("e803001d1016ff882f7231000000000000")
STATUS_2 = bytes.fromhex("e8030000ae0004004831ae000400000000000000")
DRIVE = bytes.fromhex("5300001d000067440000e900b5068c04ffff0100")
STROKE = bytes.fromhex("5300006d00a30201001d0000000000")
SUMMARY = bytes.fromhex("6320240bc40900e803001800000000000003e204")
SUMMARY_MORE = bytes.fromhex("6320240b016400010600b30000000000009403")


def at(value: bytes, elapsed_s: float) -> bytes:
    """Return a packet with another elapsed time."""
    return round(elapsed_s * 100).to_bytes(3, "little") + value[3:]


def tick(at_ms: int, elapsed_s: float, general: bytes = GENERAL) -> list[Sent]:
    """Return the three packets that a monitor sends at once."""
    return [
        Sent(at_ms, 0x31, at(general, elapsed_s)),
        Sent(at_ms + 2, 0x32, at(STATUS, elapsed_s)),
        Sent(at_ms + 3, 0x33, at(STATUS_2, elapsed_s)),
    ]


def stroke(at_ms: int, elapsed_s: float, count: int) -> list[Sent]:
    """Return the two packets of the end of a drive."""
    numbered = count.to_bytes(2, "little")
    return [
        Sent(at_ms, 0x35, at(DRIVE, elapsed_s)[:18] + numbered),
        Sent(at_ms + 3, 0x36, at(STROKE, elapsed_s)[:7] + numbered + STROKE[9:]),
    ]


def test_a_real_row_has_one_record_for_each_update() -> None:
    records = published(ROW).of("ergometer")
    whole = [each for each in records if {"active", "speed_mps", "interval"} <= each.keys()]
    assert len(whole) == sum(sent.number == 0x33 for sent in ROW)
    # At the end, one packet comes alone.
    [alone] = [each for each in records if each not in whole]
    assert alone["workout_state"] == "ended"
    assert [each["elapsed_time_s"] for each in records] == sorted(
        each["elapsed_time_s"] for each in records
    )
    row = next(each for each in whole if each["elapsed_time_s"] == 17.2)
    assert row == {
        "elapsed_time_s": 17.2,
        "distance_m": 68.3,
        "workout_type": "fixed_distance_splits",
        "interval_type": "distance",
        "workout_state": "rowing",
        "active": True,
        "stroke_state": "recovery",
        "work_distance_m": 0,
        "target_distance_m": 100,
        "drag_factor": 97,
        "speed_mps": 4.03,
        "stroke_rate_spm": 22,
        "heart_rate_bpm": None,
        "pace_s_per_500m": 124.54,
        "average_pace_s_per_500m": 126.16,
        "rest_distance_m": 0,
        "rest_time_s": 0.0,
        "interval": 0,
        "average_power_w": 174,
        "total_energy_kj": 4 * 4.184,
        "split_average_pace_s_per_500m": 126.16,
        "split_average_power_w": 174,
        "last_split_time_s": None,
        "last_split_distance_m": None,
        "stroke_count": 7,
        "power_w": 183,
        "energy_per_hour_kj_per_h": 931 * 4.184,
    }


def test_a_real_row_has_each_stroke_once() -> None:
    strokes = published(ROW).of("ergometer_stroke")
    assert [each["stroke_count"] for each in strokes] == list(range(1, 11))
    assert [each["power_w"] for each in strokes] == [
        109, 142, 173, 183, 193, 197, 183, 186, 188, 191,
    ]  # fmt: skip
    assert strokes[0]["work_j"] is None
    assert [each["work_j"] for each in strokes[6:]] == [510.6, 493.9, 507.5, 502.7]


def test_a_real_row_has_its_split_and_its_summary() -> None:
    row = published(ROW)
    [split] = row.of("ergometer_split")
    assert split["split_time_s"] == 25.0
    assert split["average_power_w"] == 179
    [timed] = [each for each in row.published if each.measurement.kind == "ergometer_workout"]
    assert timed.finished
    assert timed.measurement.retained
    workout = timed.measurement.fields()
    assert workout["device_time"] == "2016-03-06T11:36:00"
    assert workout["total_distance_m"] == 100.0
    assert workout["total_energy_kj"] == 6 * 4.184


def test_0080_gives_the_same_as_the_separate_characteristics() -> None:
    separate, multiplexed = published(ROW), published(as_multiplexed(ROW))
    for kind in ("ergometer", "ergometer_stroke", "ergometer_split"):
        assert multiplexed.of(kind) == separate.of(kind)
    [one], [other] = separate.of("ergometer_workout"), multiplexed.of("ergometer_workout")
    # Each has one field that the other has not.
    assert one.pop("interval_type") == "distance"
    assert other.pop("machine") == "rower"
    assert other == one


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_packets_of_a_record_come_in_any_order(order: tuple[int, ...]) -> None:
    sent = [*tick(0, 10.0), *tick(500, 10.5)]
    expected = published(sent).of("ergometer")
    mixed = [sent[index] for index in order] + [sent[3 + index] for index in order]
    assert published(mixed).of("ergometer") == expected
    assert len(expected) == 2


def test_a_packet_that_is_overtaken_by_the_next_record_still_joins_its_own() -> None:
    first, second = tick(0, 10.0), tick(100, 10.1)
    late = first[2]._replace(at_ms=101)
    records = published([*first[:2], second[0], late, *second[1:]]).of("ergometer")
    assert [each["elapsed_time_s"] for each in records] == [10.0, 10.1]
    assert all("interval" in each and "speed_mps" in each for each in records)


def test_a_record_without_one_packet_waits_half_a_second() -> None:
    monitor = Monitor()
    monitor.send(*tick(0, 10.0)[:2])
    monitor.wait(499)
    assert not monitor.published
    monitor.wait(500)
    [record] = monitor.of("ergometer")
    assert record["speed_mps"] == 4.125
    assert "interval" not in record


def test_of_records_that_stay_incomplete_only_two_wait() -> None:
    monitor = Monitor()
    monitor.send(*(Sent(0, 0x31, at(GENERAL, number / 10)) for number in range(100)))
    assert len(monitor.of("ergometer")) == 98
    monitor.end()
    assert [each["elapsed_time_s"] for each in monitor.of("ergometer")] == [
        number / 10 for number in range(100)
    ]


def test_records_have_the_time_of_their_last_packet() -> None:
    [timed] = published(tick(1000, 10.0)).published
    assert timed.mono_ns == 1_003_000_000


def test_what_waits_is_published_when_the_link_ends() -> None:
    assert [each["elapsed_time_s"] for each in published(tick(0, 7.0)[:1]).of("ergometer")] == [7.0]


def test_while_the_time_stands_still_each_update_is_a_record() -> None:
    waiting = GENERAL[:8] + bytes((0, 0, 0)) + GENERAL[11:]
    sent = [packet for at_ms in range(0, 2000, 500) for packet in tick(at_ms, 0.0, waiting)]
    assert len(published(sent).of("ergometer")) == 4


def test_while_no_one_rows_what_the_monitor_repeats_is_null() -> None:
    resting = GENERAL[:9] + b"\0" + GENERAL[10:]
    monitor = published([*stroke(0, 9.8, 5), *tick(500, 10.0), *tick(1000, 10.5, resting)])
    rowing, still = monitor.of("ergometer")
    momentary = ("speed_mps", "stroke_rate_spm", "pace_s_per_500m", "power_w")
    assert [rowing[key] for key in momentary] == [4.125, 22, 121.68, 109]
    assert [still[key] for key in momentary] == [None] * 4
    assert still["elapsed_time_s"] == 10.5
    assert still["stroke_count"] == 5
    assert still["average_pace_s_per_500m"] == rowing["average_pace_s_per_500m"]


def test_an_interval_begins_again_with_time_and_strokes() -> None:
    second = STATUS_2[:3] + b"\1" + STATUS_2[4:]
    begun = [Sent(3000, 0x31, at(GENERAL, 0.5)), Sent(3001, 0x32, at(STATUS, 0.5))]
    monitor = published(
        [
            *stroke(0, 1.0, 1),
            *tick(500, 30.0),
            # When the rest is over, there is a stroke with nothing in it.
            Sent(2500, 0x35, bytes(20)),
            Sent(2501, 0x36, bytes(15)),
            *begun,
            Sent(3002, 0x33, at(second, 0.5)),
            *stroke(4000, 0.9, 1),
            *tick(4500, 1.4),
        ]
    )
    assert [each["interval"] for each in monitor.of("ergometer")] == [0, 1, 0]
    assert [each["elapsed_time_s"] for each in monitor.of("ergometer_stroke")] == [1.0, 0.9]
    # The last stroke of the first interval is not one of the second.
    assert ["power_w" in each for each in monitor.of("ergometer")] == [True, False, True]


def test_a_link_in_the_middle_of_a_stroke_makes_a_stroke_without_power() -> None:
    recovery = next(sent for sent in ROW if sent.value.hex().startswith("250200"))
    later = [sent for sent in ROW if sent.at_ms >= recovery.at_ms]
    strokes = published(later).of("ergometer_stroke")
    assert [each["stroke_count"] for each in strokes] == list(range(2, 11))
    assert ["power_w" in each for each in strokes] == [False] + 8 * [True]


def test_a_link_that_is_made_again_in_a_workout_repeats_no_result() -> None:
    monitor = Monitor()
    monitor.send(*ROW)
    monitor.end()
    monitor.link()
    monitor.send(Sent(60_000, 0x39, SUMMARY), Sent(60_003, 0x3A, SUMMARY_MORE))
    monitor.end()
    assert len(monitor.of("ergometer_workout")) == 1
    assert not monitor.of("ergometer_recovery")


def test_the_summary_waits_for_its_other_packet_and_survives_a_crash_until_then() -> None:
    monitor = Monitor()
    monitor.send(Sent(0, 0x39, SUMMARY))
    [held] = monitor.held
    assert held.finished
    assert held.record is not None
    monitor.send(Sent(3, 0x3A, SUMMARY_MORE))
    assert not monitor.held
    [workout] = monitor.of("ergometer_workout")
    assert workout["average_power_w"] == 179


def test_the_summary_of_one_minute_later_is_no_second_workout() -> None:
    revised = SUMMARY[:16] + b"\x80" + SUMMARY[17:]
    monitor = published(
        [
            Sent(0, 0x39, SUMMARY),
            Sent(3, 0x3A, SUMMARY_MORE),
            Sent(60_000, 0x39, revised),
            Sent(60_003, 0x3A, SUMMARY_MORE),
            Sent(61_000, 0x39, revised),
        ]
    )
    assert len(monitor.of("ergometer_workout")) == 1
    assert monitor.of("ergometer_recovery") == [
        {"device_time": "2016-03-06T11:36:00", "recovery_heart_rate_bpm": 128}
    ]


def test_without_a_clock_a_summary_that_comes_again_is_no_second_workout() -> None:
    unset = bytes(4) + SUMMARY[4:]
    monitor = published([Sent(0, 0x39, unset), Sent(60_000, 0x39, unset)])
    assert len(monitor.of("ergometer_workout")) == 1


def test_a_link_that_begins_after_the_end_brings_the_workout_with_its_recovery() -> None:
    revised = SUMMARY[:16] + b"\x80" + SUMMARY[17:]
    [workout] = published([Sent(0, 0x39, revised)]).of("ergometer_workout")
    assert workout["recovery_heart_rate_bpm"] == 128


def test_what_0080_has_for_others_is_not_published() -> None:
    assert not published([Sent(0, 0x80, b"\x3e" + bytes(19))]).published


NUMBERS = (0x31, 0x32, 0x33, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3D, 0x80)
packets = st.tuples(
    st.integers(0, 300), st.sampled_from(NUMBERS), st.binary(min_size=14, max_size=21)
)


@pytest.mark.untraced
@given(sent=st.lists(packets, max_size=30))
def test_any_packets_in_any_order_lose_nothing_and_pile_up_nowhere(
    sent: list[tuple[int, int, bytes]],
) -> None:
    monitor, at_ms = Monitor(), 0
    for pause_ms, number, value in sent:
        at_ms += pause_ms
        try:
            monitor.send(Sent(at_ms, number, value))
        except DecodeError:
            continue
        assert len(monitor.held) <= 2
    monitor.wait(at_ms + 1000)
    before = len(monitor.published)
    monitor.end()
    assert len(monitor.published) == before
