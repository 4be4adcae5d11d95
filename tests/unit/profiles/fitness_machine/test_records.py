"""Records in several packets: scripts of packets and times."""

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine.merge import OPEN_S, Records
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.registry import load
from healthd.samples import Measurement

CHARACTERISTICS = load().characteristics
S = 1_000_000_000


def packet(uuid: str, hex: str) -> Measurement:
    return CHARACTERISTICS[uuid].decode(bytes.fromhex(hex))


# Yesoul S3: most of a record, then its speed and time (TrackMyIndoorWorkout).
YESOUL_FIRST = packet("2ad2", "f5018800f6000035006b0047000400ffffff")
YESOUL_LAST = packet("2ad2", "0008160a3500")
YESOUL_WHOLE = {
    **YESOUL_FIRST.fields(),
    **YESOUL_LAST.fields(),
}

# Stages SB20: cadence and power, then only the speed.
STAGES_POWER = packet("2ad2", "c500b6005d020000")
STAGES_NEXT = packet("2ad2", "c500e00023030000")
STAGES_SPEED = packet("2ad2", "0000100e")

BELT = packet("2acd", "0110 1400 fa00")
RUN = packet("2acd", "0000 100e")


def play(*script: tuple[float, Measurement]) -> list[tuple[float, dict[str, object]]]:
    """Return the times in seconds and the fields that one link's state publishes."""
    records = Records(Options())
    published = [
        timed
        for at_s, measurement in script
        for timed in records.take(measurement, round(at_s * S))
    ]
    return [(timed.mono_ns / S, timed.measurement.fields()) for timed in published]


def test_a_split_record_is_one_measurement_at_its_last_packet() -> None:
    assert play((1.0, YESOUL_FIRST), (1.25, YESOUL_LAST)) == [(1.25, YESOUL_WHOLE)]
    assert YESOUL_WHOLE["cadence_rpm"] == 68.0
    assert YESOUL_WHOLE["elapsed_time_s"] == 53
    assert YESOUL_WHOLE["more_data"] is False


def test_split_record_keeps_its_model() -> None:
    records = Records(Options())
    assert records.take(YESOUL_FIRST, 0) == []
    (merged,) = records.take(YESOUL_LAST, S)
    assert type(merged.measurement) is type(YESOUL_LAST)
    assert type(merged.measurement).model_validate(YESOUL_WHOLE) == merged.measurement


def test_a_complete_record_is_published_unchanged() -> None:
    measurement = packet("2ad2", "6402c50300000000e8000000")
    (published,) = Records(Options()).take(measurement, 7)
    assert published == Timed(measurement, 7)
    assert published.measurement is measurement


def test_a_record_of_three_packets() -> None:
    strides = packet("2ace", "118000 9802")
    power = packet("2ace", "018100 5000")
    speed = packet("2ace", "008000 100e")
    assert play((0, strides), (0.1, power), (0.2, speed)) == [
        (0.2, {**strides.fields(), **power.fields(), **speed.fields()})
    ]


def test_records_in_a_row_do_not_mix() -> None:
    assert play((0, STAGES_POWER), (0.5, STAGES_SPEED), (1, STAGES_NEXT), (1.5, STAGES_SPEED)) == [
        (0.5, {**STAGES_POWER.fields(), **STAGES_SPEED.fields()}),
        (1.5, {**STAGES_NEXT.fields(), **STAGES_SPEED.fields()}),
    ]


def test_a_closing_packet_alone_is_a_record() -> None:
    assert play((0, STAGES_SPEED), (1, STAGES_SPEED)) == [
        (0, STAGES_SPEED.fields()),
        (1, STAGES_SPEED.fields()),
    ]


def test_without_its_closing_packet_a_record_keeps_the_rest() -> None:
    assert play((0, STAGES_POWER), (1, STAGES_NEXT), (1.5, STAGES_SPEED)) == [
        (0, STAGES_POWER.fields()),
        (1.5, {**STAGES_NEXT.fields(), **STAGES_SPEED.fields()}),
    ]


def test_a_closing_packet_of_another_record_is_not_joined() -> None:
    whole = packet("2ad2", "4400 100e b400 fa00")
    assert play((0, STAGES_POWER), (1, whole)) == [
        (0, STAGES_POWER.fields()),
        (1, whole.fields()),
    ]


def test_two_packets_without_the_closing_one_stay_together() -> None:
    time = packet("2ad2", "0108 5802")
    assert play((0, STAGES_POWER), (0.5, time), (1, STAGES_POWER)) == [
        (0.5, {**STAGES_POWER.fields(), **time.fields()})
    ]


def test_a_machine_that_never_closes_is_published_one_packet_late() -> None:
    script = [(float(second), STAGES_POWER) for second in range(5)]
    assert play(*script) == [(second, STAGES_POWER.fields()) for second in range(4)]


@pytest.mark.parametrize("uuid_hex", [("2ad2", "0000100e"), ("2ad3", "000d"), ("2acd", "0000100e")])
def test_a_record_open_for_too_long_is_published_by_the_next_message(
    uuid_hex: tuple[str, str],
) -> None:
    late = packet(*uuid_hex)
    assert play((0, STAGES_POWER), (OPEN_S + 0.001, late)) == [
        (0, STAGES_POWER.fields()),
        (OPEN_S + 0.001, late.fields()),
    ]


def test_record_is_closed_in_time() -> None:
    assert play((0, STAGES_POWER), (OPEN_S, STAGES_SPEED)) == [
        (OPEN_S, {**STAGES_POWER.fields(), **STAGES_SPEED.fields()})
    ]


def test_time_counts_from_the_first_packet() -> None:
    time = packet("2ad2", "0108 5802")
    assert play((0, STAGES_POWER), (2, time), (4, STAGES_SPEED)) == [
        (2, {**STAGES_POWER.fields(), **time.fields()}),
        (4, STAGES_SPEED.fields()),
    ]


def test_characteristics_are_merged_separately() -> None:
    assert play((0, STAGES_POWER), (0.1, BELT), (0.2, STAGES_SPEED), (0.3, RUN)) == [
        (0.2, {**STAGES_POWER.fields(), **STAGES_SPEED.fields()}),
        (0.3, {**BELT.fields(), **RUN.fields()}),
    ]


def test_links_are_merged_separately() -> None:
    before, after = Records(Options()), Records(Options())
    before.take(STAGES_POWER, 0)
    assert list(after.take(STAGES_SPEED, 1)) == [Timed(STAGES_SPEED, 1)]


def test_surplus_bytes_are_added_up() -> None:
    first = packet("2ad2", "4100 fa00 0102")
    last = packet("2ad2", "0000 100e 03")
    assert play((0, first), (0, last)) == [
        (0, {"power_w": 250, "speed_mps": 10.0, "more_data": False, "trailing_bytes": 3})
    ]


@pytest.mark.parametrize(
    ("cut", "kept"), [("4500 b400 fa", {"cadence_rpm": 90.0}), ("4100 fa", {})]
)
def test_a_cut_packet_marks_the_record_as_cut(cut: str, kept: dict[str, float]) -> None:
    assert play((0, packet("2ad2", cut)), (0, STAGES_SPEED)) == [
        (0, {**kept, "speed_mps": 10.0, "more_data": False, "truncated": True})
    ]


def test_a_cut_closing_packet_closes_a_record_that_is_marked_as_cut() -> None:
    last = packet("2ad2", "0008 100e 58")
    assert play((0, STAGES_POWER), (0, last)) == [
        (
            0,
            {
                "cadence_rpm": 91.0,
                "power_w": 605,
                "average_power_w": 0,
                "speed_mps": 10.0,
                "truncated": True,
            },
        )
    ]


@pytest.mark.parametrize(("uuid", "hex"), [("2ad3", "000d"), ("2ada", "04")])
def test_a_status_is_published_and_leaves_a_record_open(uuid: str, hex: str) -> None:
    status = packet(uuid, hex)
    assert play((0, STAGES_POWER), (0.1, status), (0.2, STAGES_SPEED)) == [
        (0.1, status.fields()),
        (0.2, {**STAGES_POWER.fields(), **STAGES_SPEED.fields()}),
    ]


@pytest.mark.parametrize("hex", ["00", "80 00 01"])
def test_control_point_is_not_published(hex: str) -> None:
    assert play((0, packet("2ad9", hex))) == []


PACKETS = [
    *(YESOUL_FIRST, YESOUL_LAST, STAGES_POWER, STAGES_NEXT, STAGES_SPEED, BELT, RUN),
    packet("2ad2", "0100"),
    packet("2ad2", "0108 5802"),
    packet("2ad2", "4500 b400 fa"),
    packet("2ad3", "000d"),
]
ABOUT_THE_PACKET = {"more_data", "truncated"}

# Binary fractions: their sums are exact.
gaps = st.sampled_from([0.0, 0.125, 0.5, 1.0, 5.0])


@given(st.lists(st.tuples(gaps, st.sampled_from(PACKETS)), max_size=30))
def test_every_value_is_published_once_and_in_order(
    script: list[tuple[float, Measurement]],
) -> None:
    at_s = list(accumulate(gap for gap, _ in script))
    packets = [measurement for _, measurement in script]
    records = Records(Options())
    published = [
        timed
        for at, measurement in zip(at_s, packets, strict=True)
        for timed in records.take(measurement, round(at * S))
    ]
    published += records.end()
    assert not records.end()
    assert values([timed.measurement for timed in published]) == values(packets)
    for kind in {each.kind for each in packets}:
        stamps = [timed.mono_ns for timed in published if timed.measurement.kind == kind]
        assert stamps == sorted(stamps)
        assert set(stamps) <= {round(at * S) for at in at_s}


def values(measurements: list[Measurement]) -> Counter[tuple[str, str, object]]:
    return Counter(
        (each.kind, key, value)
        for each in measurements
        for key, value in each.fields().items()
        if key not in ABOUT_THE_PACKET
    )
