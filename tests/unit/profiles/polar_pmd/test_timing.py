"""Placed times compared with the true times of a simulated sensor."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.polar_pmd.clock import SensorClock
from healthd.profiles.polar_pmd.placement import Placed, Placement

SECOND = 1_000_000_000
STARTED = 10_000 * SECOND
"""When the sensor started, on our clock."""
SAMPLES = 73
PERIOD_NS = SECOND / 130
H10_EPOCH = 599_616_000 * SECOND

# The expected errors: the delay of the first frame, then decreasing.
FIRST_MS = 80
AFTER_30_S_MS = 25
AFTER_5_MIN_MS = 5


@dataclass(frozen=True)
class Sensor:
    """130 Hz in frames of 73 samples, with a clock that is wrong and a radio that delays."""

    drift_ppm: float = 0
    delay_ms: float = 80
    loss: float = 0
    seed: int = 0
    epoch_ns: int = H10_EPOCH
    period_ns: float = PERIOD_NS

    def frames(self, seconds: float) -> Iterator[tuple[float, int, int]]:
        """Yield for each received frame the last sample's true time, its stamp, and the arrival."""
        chance = random.Random(self.seed)
        arrival = 0
        for number in range(1, round(seconds * SECOND / self.period_ns / SAMPLES)):
            true = number * SAMPLES * self.period_ns
            # The radio keeps the order.
            arrival = max(arrival, round(true + chance.random() * self.delay_ms * 1e6))
            if chance.random() >= self.loss:
                stamp = self.epoch_ns + round(true * (1 + self.drift_ppm / 1e6))
                yield STARTED + true, stamp, STARTED + arrival


def error_ms(placed: Placed, true: float, period_ns: float = PERIOD_NS) -> float:
    """Return the larger error of the times of the first and the last sample."""
    assert placed.period_ns is not None
    first = placed.first_ns - (true - (SAMPLES - 1) * period_ns)
    last = placed.first_ns + (SAMPLES - 1) * placed.period_ns - true
    return max(abs(first), abs(last)) / 1e6


def assert_in_order(places: list[Placed]) -> None:
    for earlier, later in pairwise(places):
        assert earlier.period_ns is not None
        assert earlier.first_ns + (SAMPLES - 1) * earlier.period_ns < later.first_ns


@pytest.mark.parametrize("drift_ppm", [-200, -50, 0, 50, 200])
@pytest.mark.parametrize("loss", [0, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_error_is_bounded(drift_ppm: float, loss: float, seed: int) -> None:
    clock, placement = SensorClock(), Placement(130)
    places: list[Placed] = []
    for true, stamp, arrival in Sensor(drift_ppm, loss=loss, seed=seed).frames(600):
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        places.append(placed)
        since_s = (true - STARTED) / SECOND
        bound = FIRST_MS if since_s < 30 else AFTER_30_S_MS if since_s < 300 else AFTER_5_MIN_MS
        assert error_ms(placed, true) <= bound, f"{since_s:.0f} s"
    assert len(places) > 800
    assert_in_order(places)


def test_drift_is_followed_over_hours() -> None:
    clock, placement = SensorClock(), Placement(130)
    errors = [
        error_ms(placed, true)
        for true, stamp, arrival in Sensor(200, seed=1).frames(2 * 3600)
        if (placed := placement.place(clock, stamp, arrival, SAMPLES))
    ]
    assert max(errors[600:]) <= AFTER_5_MIN_MS


def test_a_drift_that_reverses_is_followed() -> None:
    # Far more than the drift of a sensor that warms up on the body: 50 ppm fast, then 50 ppm slow.
    turned = 1800 * SECOND
    clock, placement = SensorClock(), Placement(130)
    for true, stamp, arrival in Sensor(50, seed=4).frames(3600):
        late = max(true - STARTED - turned, 0)
        placed = placement.place(clock, stamp - round(late * 100e-6), arrival, SAMPLES)
        assert placed is not None
        if true - STARTED > 30 * SECOND:
            assert error_ms(placed, true) <= AFTER_30_S_MS


def test_losing_every_other_frame_for_a_while_does_not_change_the_rate() -> None:
    clock, placement = SensorClock(), Placement(130)
    for number, (true, stamp, arrival) in enumerate(Sensor(delay_ms=0).frames(60)):
        if number in range(20, 33, 2):
            continue
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        assert error_ms(placed, true) < 1


def test_without_delay_only_the_error_of_the_slew_remains() -> None:
    clock, placement = SensorClock(), Placement(130)
    for true, stamp, arrival in Sensor(200, delay_ms=0).frames(120):
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        assert error_ms(placed, true) < 1


def test_consecutive_frames_have_no_gap() -> None:
    clock, placement = SensorClock(), Placement(130)
    before: Placed | None = None
    for _, stamp, arrival in Sensor(100, seed=3).frames(60):
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None and placed.period_ns is not None
        if before is not None and before.period_ns is not None:
            end = before.first_ns + (SAMPLES - 1) * before.period_ns
            assert placed.first_ns - end == pytest.approx(placed.period_ns, abs=2)
        assert placed.period_ns == pytest.approx(PERIOD_NS, rel=0.006)
        before = placed


def test_lost_frames_do_not_stretch_the_next_one() -> None:
    clock, placement = SensorClock(), Placement(130)
    for number, (true, stamp, arrival) in enumerate(Sensor(delay_ms=0).frames(60)):
        if number in {20, 40, 41, 42, 60, 62, 64}:
            continue
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        assert error_ms(placed, true) < 1


def test_a_wrong_announced_rate_is_corrected() -> None:
    # A Verity Sense announced 135 Hz and ran at 55.
    sensor = Sensor(delay_ms=0, period_ns=SECOND / 55)
    clock, placement = SensorClock(), Placement(135)
    places = [
        (true, placement.place(clock, stamp, arrival, SAMPLES))
        for true, stamp, arrival in sensor.frames(60)
    ]
    for true, placed in places[9:]:
        assert placed is not None
        assert error_ms(placed, true, SECOND / 55) < 1


def test_a_too_low_announced_rate_is_corrected_at_once() -> None:
    clock, placement = SensorClock(), Placement(55)
    places = [
        (true, placement.place(clock, stamp, arrival, SAMPLES))
        for true, stamp, arrival in Sensor(delay_ms=0).frames(10)
    ]
    for true, placed in places[1:]:
        assert placed is not None
        assert error_ms(placed, true) < 1


def test_an_unknown_rate_costs_the_first_frame() -> None:
    clock, placement = SensorClock(), Placement(None)
    places = [
        placement.place(clock, stamp, arrival, SAMPLES)
        for _, stamp, arrival in Sensor(delay_ms=0).frames(10)
    ]
    assert places[0] is None
    assert all(places[1:])


def test_frames_of_one_sample_need_no_rate() -> None:
    clock, placement = SensorClock(), Placement(None)
    assert placement.place(clock, 5 * SECOND, STARTED, 1) == Placed(STARTED, None)
    second = placement.place(clock, 6 * SECOND, STARTED + SECOND, 1)
    assert second == Placed(STARTED + SECOND, SECOND)


@pytest.mark.parametrize(
    "epoch_ns",
    [0, 3600 * SECOND, H10_EPOCH + 3600 * SECOND, H10_EPOCH - SECOND, 2**64 - 1000 * SECOND],
    ids=["restarted", "far back", "an hour on", "a second back", "end of 64 bits"],
)
def test_a_jump_of_the_sensors_clock_costs_no_more_than_a_new_start(epoch_ns: int) -> None:
    sensor = Sensor(100, seed=5)
    clock, placement = SensorClock(), Placement(130)
    places: list[Placed] = []
    for true, stamp, arrival in sensor.frames(600):
        since_s = (true - STARTED) / SECOND
        if since_s > 300:
            stamp += epoch_ns - H10_EPOCH
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        places.append(placed)
        if not 300 <= since_s < 330:
            bound = FIRST_MS if since_s < 30 else AFTER_30_S_MS
            assert error_ms(placed, true) <= bound, f"{since_s:.0f} s"
        else:
            assert error_ms(placed, true) <= FIRST_MS
    assert_in_order(places)
    assert clock.epoch == 1


def test_a_link_that_stalls_for_seconds_moves_nothing() -> None:
    clock, placement = SensorClock(), Placement(130)
    for true, stamp, arrival in Sensor(seed=2).frames(400):
        since_s = (true - STARTED) / SECOND
        late = max(arrival, STARTED + 306 * SECOND) if 300 <= since_s < 306 else arrival
        placed = placement.place(clock, stamp, late, SAMPLES)
        assert placed is not None
        if since_s > 30:
            assert error_ms(placed, true) <= AFTER_30_S_MS
    assert clock.epoch == 0


def test_streams_of_one_sensor_agree() -> None:
    clock = SensorClock()
    ecg, acceleration = Placement(130), Placement(130)
    sensor = Sensor(150, seed=7)
    both = zip(sensor.frames(120), replace(sensor, seed=8).frames(120), strict=True)
    for (true, stamp, arrival), (_, _, other_arrival) in both:
        one = ecg.place(clock, stamp, arrival, SAMPLES)
        # Measured a little earlier, but passed to the clock afterwards.
        other = acceleration.place(clock, stamp - 3_000_000, other_arrival, SAMPLES)
        assert one is not None and other is not None
        if true - STARTED > 30 * SECOND:
            assert abs(one.first_ns - other.first_ns - 3_000_000) < 10_000_000


def test_a_jump_seen_by_one_stream_resets_the_other_only_once() -> None:
    clock = SensorClock()
    ecg, acceleration = Placement(130), Placement(130)
    for jump in (0, -3600 * SECOND):
        for second in range(1, 4):
            at = second * SECOND + (4 * SECOND if jump else 0)
            for placement in (ecg, acceleration):
                placed = placement.place(clock, H10_EPOCH + at + jump, STARTED + at, 130)
                assert placed is not None
                assert placed.first_ns == pytest.approx(STARTED + at - 129 * PERIOD_NS, abs=2)
    assert clock.epoch == 1


def test_frames_without_a_stamp_are_placed_by_arrival() -> None:
    placement = Placement(100)
    assert placement.place_by_arrival(STARTED, 50) == Placed(STARTED - 490_000_000, 1e7)
    # Two at once: the second cannot have started before the first ended, nor end in the future.
    assert placement.place_by_arrival(STARTED, 50) == Placed(STARTED, None)


def test_spans_are_placed_by_their_end_and_do_not_overlap() -> None:
    placement = Placement(None)

    def place(end_ns: int, span_ns: int) -> Placed:
        return placement.place_span(end_ns, span_ns, end_ns)

    assert place(STARTED, SECOND) == Placed(STARTED - SECOND, None)
    assert place(STARTED + SECOND, 3 * SECOND) == Placed(STARTED, None)
    assert place(STARTED + 5 * SECOND, SECOND) == Placed(STARTED + 4 * SECOND, None)


def test_spans_that_add_up_to_more_than_the_time_that_passed_stay_before_their_arrival() -> None:
    # 85 intervals of 65,535 ms in each frame, ten frames a second.
    placement = Placement(None)
    for tenth in range(1000):
        arrival = STARTED + tenth * SECOND // 10
        placed = placement.place_span(arrival, 84 * 65_535 * 1_000_000, arrival)
        assert arrival - 600 * SECOND <= placed.first_ns <= arrival


def test_a_stamp_is_mapped_before_its_arrival_or_not_at_all() -> None:
    clock = SensorClock()
    assert clock.before(5 * SECOND, STARTED) == STARTED
    clock.observe(5 * SECOND, STARTED)
    assert clock.before(4 * SECOND, STARTED + SECOND) == STARTED - SECOND
    assert clock.before(9 * SECOND, STARTED + SECOND) == STARTED + SECOND
    assert clock.before(1, STARTED + 1000 * SECOND) == STARTED + 1000 * SECOND


@pytest.mark.parametrize("off", [-0.04, 0.04], ids=["slow", "fast"])
def test_stamps_that_follow_no_clock_do_not_move_samples_away_from_their_arrival(
    off: float,
) -> None:
    # Some devices count stamps up by the nominal duration of a frame, whatever passed.
    sensor = Sensor(off * 1e6, seed=9)
    clock, placement = SensorClock(), Placement(130)
    for _, stamp, arrival in sensor.frames(2 * 3600):
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None and placed.period_ns is not None
        last_ns = placed.first_ns + (SAMPLES - 1) * placed.period_ns
        # What the clock needs to see that it is wrong: 4 % of a minute, and a second.
        assert -6 * SECOND <= last_ns - arrival <= 0.1 * SECOND + 1


def test_stamps_that_run_ahead_are_held_back_by_arrivals() -> None:
    # 0.9 s later in each frame: never enough for a jump, and an hour in six minutes.
    clock, placement = SensorClock(), Placement(130)
    for number in range(10_000):
        arrival = STARTED + number * SECOND // 10
        stamp = H10_EPOCH + number * 9 * SECOND // 10
        placed = placement.place(clock, stamp, arrival, SAMPLES)
        assert placed is not None
        assert arrival - SECOND <= placed.first_ns <= arrival + SECOND // 10


@given(
    rate=st.none() | st.integers(1, 1000),
    frames=st.lists(
        st.tuples(
            st.integers(1, 2**64 - 1) | st.integers(-2 * SECOND, 5 * SECOND),
            st.integers(0, 40 * SECOND),
            st.integers(1, 300),
        ),
        min_size=1,
    ),
)
def test_time_never_runs_backwards_for_any_stamps(
    rate: int | None, frames: list[tuple[int, int, int]]
) -> None:
    clock, placement = SensorClock(), Placement(rate)
    arrival, stamp, end = STARTED, H10_EPOCH, 0.0
    for moved, waited, count in frames:
        stamp = moved if moved > 5 * SECOND else max(1, stamp + moved)
        arrival += waited
        placed = placement.place(clock, stamp, arrival, count)
        if placed is not None:
            assert placed.first_ns <= arrival + FIRST_MS * 1_250_000
            assert placed.first_ns >= arrival - 633 * SECOND
            # Rounded down to whole nanoseconds, two neighbours may have the same time.
            assert placed.first_ns >= end - 1
            end = placed.first_ns + (count - 1) * (placed.period_ns or 0)
