"""Rates from counters: scripted rides, and the rate that follows from each packet."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.common.counters import Rate, crank, wheel

S = 1_000_000_000
CIRCUMFERENCE_M = 2.0
WHEEL = wheel(CIRCUMFERENCE_M, ticks_per_s=2048)

Packet = tuple[float, int, float]
"""Seconds on our clock, counter, seconds on the sensor's clock."""


def rates(rate: Rate, packets: Iterable[Packet]) -> list[float | None]:
    return [rate.update(turns, time_s, round(at * S)) for at, turns, time_s in packets]


def cadences(*packets: Packet) -> list[float | None]:
    return rates(Rate(crank()), packets)


def speeds(*packets: Packet) -> list[float | None]:
    return rates(Rate(WHEEL), packets)


def test_needs_two_events() -> None:
    assert cadences((0, 10, 1.0)) == [None]
    assert cadences((0, 10, 1.0), (1, 11, 2.0)) == [None, 60.0]
    assert cadences((0, 10, 1.0), (0.5, 10, 1.0), (1, 11, 2.0)) == [None, None, 60.0]


def test_several_turns_between_two_packets() -> None:
    assert cadences((0, 10, 1.0), (2, 13, 3.0)) == [None, 90.0]
    assert speeds((0, 10, 1.0), (2, 13, 3.0)) == [None, 3.0]


def test_counter_and_time_wrap_together() -> None:
    assert cadences((0, 65534, 63.0), (2, 1, 1.0)) == [None, 90.0]
    assert speeds((0, 0xFFFFFFFE, 31.0), (2, 1, 1.0)) == [None, 3.0]


def test_time_of_a_power_meters_wheel_wraps_twice_as_early() -> None:
    csc = Rate(wheel(CIRCUMFERENCE_M, ticks_per_s=1024))
    packets = [(0, 10, 31.0), (2, 13, 1.0)]
    assert rates(Rate(WHEEL), packets) == [None, 3.0]
    # 34 s on this sensor's clock within 2 s on ours: a delayed burst.
    assert rates(csc, packets) == [None, 0.176]


def test_a_repeated_event_keeps_the_rate_and_then_means_a_standstill() -> None:
    ride = [(0, 10, 1.0), (1, 11, 2.0)]
    repeated = [(at, 11, 2.0) for at in (1.25, 2.0, 3.0, 3.49, 3.5, 4.0, 60.0, 600.0)]
    assert cadences(*ride, *repeated) == [None, *[60.0] * 5, *[0.0] * 4]


def test_standstill_ends_with_the_next_event() -> None:
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (4, 11, 2.0), (6, 12, 7.0), (6.5, 13, 7.5)) == [
        *(None, 60.0, 0.0),
        *(12.0, 120.0),
    ]


def test_crank_that_never_turned_stands_still() -> None:
    assert cadences((0, 10, 1.0), (1, 10, 1.0), (2.5, 10, 1.0)) == [None, None, 0.0]


def test_a_wheel_that_never_turned_has_no_speed() -> None:
    # Both flags set, only the crank turns: OpenTracks#1054.
    standing = [(at, 0, 0.265625) for at in (0.0, 1.0, 2.5, 60.0)]
    assert speeds(*standing) == [None] * 4
    assert speeds(*standing, (61, 1, 1.0), (61.5, 2, 1.5), (65, 2, 1.5)) == [
        *[None] * 5,
        *(4.0, 0.0),
    ]


def test_a_new_time_without_a_turn_is_not_an_event() -> None:
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (1.5, 11, 2.5), (2, 12, 3.0)) == [
        *(None, 60.0, 60.0),
        60.0,
    ]
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (3.5, 11, 4.5)) == [None, 60.0, 0.0]


def test_turns_within_no_time_are_discarded() -> None:
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (2, 14, 2.0), (3, 15, 3.0)) == [
        *(None, 60.0),
        *(None, 60.0),
    ]


@pytest.mark.parametrize(("turns", "known"), [(250, 250.0), (251, None), (65535, None)])
def test_an_implausible_cadence_is_discarded(turns: int, known: float | None) -> None:
    assert cadences((0, 0, 0.0), (60, turns, 60.0)) == [None, known]


@pytest.mark.parametrize(
    ("turns", "known"), [(16, 32.0), (17, None), (-16, -32.0), (-17, None), (1 << 31, None)]
)
def test_an_implausible_speed_is_discarded(turns: int, known: float | None) -> None:
    assert speeds((0, 1000, 0.0), (1, (1000 + turns) % (1 << 32), 1.0)) == [None, known]


def test_after_a_burst_counting_continues() -> None:
    # Turns counted during a pause arrive at once: TrackMyIndoorWorkout PR #495.
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (2, 60, 3.0), (3, 61, 4.0)) == [
        *(None, 60.0),
        *(None, 60.0),
    ]


def test_after_a_burst_a_repeated_event_is_a_standstill_too() -> None:
    assert cadences((0, 10, 1.0), (1, 60, 2.0), (2, 60, 2.0), (3.5, 60, 2.0)) == [
        *(None, None, None),
        0.0,
    ]


def test_counter_that_was_set_back_is_discarded() -> None:
    assert cadences((0, 1000, 1.0), (1, 3, 2.0), (2, 4, 3.0)) == [None, None, 60.0]
    assert speeds((0, 1000, 1.0), (1, 3, 2.0), (2, 4, 3.0)) == [None, None, 2.0]


def test_wheel_that_turns_backwards_has_a_negative_speed() -> None:
    assert speeds((0, 1, 1.0), (1, 0, 2.0), (2, 0xFFFFFFFF, 3.0), (3, 0, 4.0)) == [
        *(None, -2.0, -2.0),
        2.0,
    ]


@pytest.mark.parametrize(
    ("waited", "lapse", "known"),
    [
        # 30 turns, so that both times give a plausible speed.
        (31.0, 31.0, 1.935),
        (32.0, 30.0, 2.0),
        (32.1, 30.0, None),
        (40.0, 8.0, None),
        # Nearly a whole wrap on the sensor's clock, but not on ours.
        (31.5, 2.0, None),
        # A packet was late.
        (15.0, 12.0, 5.0),
        (1.0, 20.0, 3.0),
    ],
)
def test_no_rate_if_the_sensors_clock_may_have_wrapped(
    waited: float, lapse: float, known: float | None
) -> None:
    found = speeds((0, 0, 5.0), (waited, 30, (5.0 + lapse) % 32))
    assert found == [None, known]


def test_after_a_long_gap_counting_continues() -> None:
    assert cadences((0, 10, 1.0), (1, 11, 2.0), (66, 70, 3.0), (67, 71, 4.0)) == [
        *(None, 60.0),
        *(None, 60.0),
    ]


def test_a_long_standstill_of_a_sending_sensor_is_a_gap_too() -> None:
    standing = [(float(at), 11, 2.0) for at in range(5, 300, 5)]
    found = cadences((0, 10, 1.0), (1, 11, 2.0), *standing, (300, 12, 44.9), (301, 13, 45.9))
    assert found[-3:] == [0.0, None, 60.0]


def test_forget_requires_two_events_again() -> None:
    rate = Rate(WHEEL)
    assert rates(rate, [(0, 10, 1.0), (1, 11, 2.0)]) == [None, 2.0]
    rate.forget()
    assert rates(rate, [(2, 0, 3.0), (2.5, 0, 3.0), (3, 1, 4.0)]) == [None, None, 2.0]


def ride(
    turns_per_s: float, start: int, intervals: list[float], *, ticks_per_s: int, bits: int
) -> Iterable[Packet]:
    """Yield the packets of a sensor that turns evenly, received at these intervals."""
    at = 0.0
    for interval in intervals:
        at += interval
        turns = int(abs(turns_per_s) * at)
        ticks = round((turns / abs(turns_per_s)) * ticks_per_s) + 65000
        count = start + (turns if turns_per_s > 0 else -turns)
        yield at, count % (1 << bits), ticks % 65536 / ticks_per_s


intervals = st.lists(st.floats(0.05, 20.0), min_size=2, max_size=40)


@given(rpm=st.floats(30, 240), start=st.integers(0, 0xFFFF), intervals=intervals)
def test_a_steady_cadence_is_found_at_any_intervals(
    rpm: float, start: int, intervals: list[float]
) -> None:
    found = cadences(*ride(rpm / 60, start, intervals, ticks_per_s=1024, bits=16))
    assert all(value is None or value == pytest.approx(rpm, rel=0.01) for value in found)
    # It is known from the second turn on: after two seconds at the slowest.
    if sum(intervals[1:]) > 4:
        assert found[-1] is not None


@given(
    turns_per_s=st.floats(0.5, 16) | st.floats(-16, -0.5),
    start=st.integers(0, 0xFFFFFFFF),
    intervals=st.lists(st.floats(0.05, 12.0), min_size=2, max_size=40),
)
def test_steady_speed_is_found_in_both_directions(
    turns_per_s: float, start: int, intervals: list[float]
) -> None:
    found = speeds(*ride(turns_per_s, start, intervals, ticks_per_s=2048, bits=32))
    expected = pytest.approx(turns_per_s * CIRCUMFERENCE_M, rel=0.02)
    assert all(value is None or value == expected for value in found)
    if sum(intervals[1:]) > 4:
        assert found[-1] is not None


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.integers(0, 0xFFFFFFFF), st.integers(0, 65535)),
        max_size=20,
    )
)
def test_the_speed_is_plausible_for_any_counts(
    packets: list[tuple[float, int, int]],
) -> None:
    at = 0.0
    rate = Rate(WHEEL)
    for interval, turns, ticks in packets:
        at += interval
        value = rate.update(turns, ticks / 2048, round(at * S))
        assert value is None or abs(value) <= 120 / 3.6
