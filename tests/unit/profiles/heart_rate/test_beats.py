"""The times of beats follow from the sum of intervals, however late their packets arrive."""

import random
import statistics
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.heart_rate.beats import Beats

SECOND_NS = 1_000_000_000


def packets(
    beats_ms: list[float], delays_ms: Iterator[float], rate: float = 1.0
) -> Iterator[tuple[list[float], float]]:
    """Yield the intervals of one packet a second, and its arrival.

    Args:
        beats_ms: the times of the beats.
        delays_ms: the delay of each packet.
        rate: the speed of the sensor's clock relative to ours.
    """
    inside: list[float] = []
    second, at_ms = 1, 0.0
    for last, beat in pairwise(beats_ms):
        while beat > second * 1000:
            # The radio keeps the order: packets after a late packet are late, too.
            at_ms = max(at_ms, second * 1000 + next(delays_ms))
            yield inside, at_ms
            inside, second = [], second + 1
        inside.append((beat - last) * rate)
    yield inside, max(at_ms, second * 1000 + next(delays_ms))


def heart(seconds: int, rng: random.Random) -> list[float]:
    beats = [0.0]
    while beats[-1] < seconds * 1000:
        beats.append(beats[-1] + rng.uniform(600, 1100))
    return beats


def placed(beats: Beats, intervals: list[float], at_ms: float) -> list[float]:
    """Return the times of the beats of one packet, on the clock of ``at_ms``."""
    offsets_ms = beats.place(intervals, int(at_ms * 1e6)).offsets_ms
    assert offsets_ms is not None
    return [at_ms + off for off in offsets_ms]


def jitter(rng: random.Random) -> Iterator[float]:
    while True:
        # Mostly short; sometimes up to two seconds more.
        yield 2000.0 if rng.random() < 0.05 else rng.uniform(10, 200)


def errors(beats_ms: list[float], rng: random.Random, rate: float = 1.0) -> list[float]:
    """Return the error of each beat's time."""
    beats, found = Beats(), list[float]()
    for intervals, at_ms in packets(beats_ms, jitter(rng), rate):
        found += placed(beats, intervals, at_ms)
    return [at_ms - true_ms for at_ms, true_ms in zip(found, beats_ms[1:], strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_jitter_of_arrivals_does_not_affect_the_beats(seed: int) -> None:
    rng = random.Random(seed)
    settled = errors(heart(300, rng), rng)[60:]
    # A packet arrives 10 to 3000 ms after its beat. What remains is the delay of the best packet;
    # the intervals between beats are correct to a few milliseconds.
    assert all(0 <= error < 400 for error in settled)
    assert statistics.mean(abs(b - a) for a, b in pairwise(settled)) < 10


@pytest.mark.parametrize("rate", [0.9999, 1.0001])
def test_a_sensors_clock_may_drift(rate: float) -> None:
    rng = random.Random(1)
    # 100 ppm are a second in 10,000; the sum alone would have this error by now.
    settled = errors(heart(10_000, rng), rng, rate)[60:]
    assert all(0 <= error < 500 for error in settled)


def test_a_packet_with_less_delay_corrects_at_once() -> None:
    beats = Beats()
    assert placed(beats, [800.0], 1900) == [1900]
    assert placed(beats, [800.0, 800.0], 3000) == pytest.approx([2200, 3000])
    assert placed(beats, [800.0], 3900) == pytest.approx([3800])


def test_missing_intervals_restart_the_sum() -> None:
    beats = Beats()
    assert not beats.place([1000.0], 0).follows  # there is no earlier packet
    for second in (1, 2, 3):
        assert beats.place([1000.0], second * SECOND_NS).follows
    after = beats.place([1000.0], 8 * SECOND_NS)
    assert (after.offsets_ms, after.follows) == ([0.0], False)
    assert beats.place([1000.0], 9 * SECOND_NS).follows


def test_missing_intervals_shorter_than_a_delay_are_corrected_in_half_a_minute() -> None:
    beats = Beats()
    beats.place([1000.0], 0)
    offsets = [
        beats.place([1000.0], (second + 2) * SECOND_NS).offsets_ms for second in range(1, 31)
    ]
    assert offsets[0] == [-2000.0]
    assert offsets[-1] == [0.0]


def test_extra_intervals_restart_the_sum() -> None:
    beats = Beats()
    beats.place([1000.0], 0)
    stray = beats.place([1000.0, 63_999.0], SECOND_NS)
    assert (stray.offsets_ms, stray.follows) == ([-63_999.0, 0.0], False)
    after = beats.place([1000.0], 2 * SECOND_NS)
    assert (after.offsets_ms, after.follows) == ([0.0], True)


def test_a_pause_restarts_the_sum() -> None:
    beats = Beats()
    beats.place([1000.0], 0)
    beats.pause()
    after = beats.place([900.0], 2 * SECOND_NS)
    assert (after.offsets_ms, after.follows) == ([0.0], False)


def test_a_delayed_packet_keeps_the_times_of_its_beats() -> None:
    beats = Beats()
    for second in range(10):
        beats.place([1000.0], second * SECOND_NS)
    # Three packets at once, after two seconds without any.
    at_ms = 12_000
    assert [placed(beats, [1000.0], at_ms) for _ in range(3)] == [[10_000], [11_000], [12_000]]


def test_no_intervals_have_no_offsets() -> None:
    assert Beats().place([], 5).offsets_ms == []


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 65535).map(lambda raw: raw * 1000 / 1024), max_size=9),
            st.integers(0, 10**13),
        ),
        max_size=30,
    )
)
def test_no_beat_is_later_than_its_packet(sent: list[tuple[list[float], int]]) -> None:
    beats, at_ns = Beats(), 0
    for intervals, later_ns in sent:
        at_ns += later_ns
        offsets = beats.place(intervals, at_ns).offsets_ms
        if offsets is None:
            assert sum(intervals) > 120_000
            continue
        assert len(offsets) == len(intervals)
        assert all(offset <= 0.1 for offset in offsets)
        steps = [second - first for first, second in pairwise(offsets)]
        assert steps == pytest.approx(intervals[1:], abs=0.11)


@pytest.mark.parametrize("rate", [0.96, 1.04])
def test_a_sensor_whose_seconds_are_too_long_or_short_is_followed_for_hours(rate: float) -> None:
    """D29: the sum of such intervals drifts away from the clock, by 144 s an hour."""
    rng = random.Random(8)
    beats, latest = Beats(), 0.0
    true_ms = heart(2 * 3600, rng)
    for intervals, at_ms in packets(true_ms, jitter(rng), rate):
        for beat_ms in placed(beats, intervals, at_ms):
            assert at_ms - 6000 <= beat_ms <= at_ms
            latest = max(latest, beat_ms)
    assert latest > 2 * 3600 * 1000 - 6000


def test_intervals_of_more_than_two_minutes_have_no_place_in_time() -> None:
    beats = Beats()
    assert beats.place([1000.0], 10 * SECOND_NS).offsets_ms == [0.0]
    # 255 intervals of 65,535/1024 s in one packet are four and a half hours.
    assert beats.place([63_999.0] * 255, 11 * SECOND_NS) == (None, False)
    after = beats.place([1000.0], 12 * SECOND_NS)
    assert (after.offsets_ms, after.follows) == ([0.0], False)


@given(
    st.lists(
        st.tuples(st.lists(st.floats(0, 64_000), max_size=255), st.integers(0, 100 * SECOND_NS)),
        max_size=20,
    )
)
def test_no_intervals_place_a_beat_after_their_arrival_or_long_before(
    sent: list[tuple[list[float], int]],
) -> None:
    beats, arrival_ns = Beats(), 0
    for intervals, waited_ns in sent:
        arrival_ns += waited_ns
        for offset_ms in beats.place(intervals, arrival_ns).offsets_ms or ():
            assert -123_000 <= offset_ms <= 0
