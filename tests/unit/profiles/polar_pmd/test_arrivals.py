"""Frames without a stamp, placed by their arrivals, compared with a simulated sensor's true times.

D29: a sensor that runs at 52 Hz for its nominal 50 was placed 144 s ahead after an hour.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.polar_pmd.placement import Placed, Placement
from tests.support.effort import effort

SECOND = 1_000_000_000
STARTED = 10_000 * SECOND
JITTER_S = 0.08
HOURS = effort(1, 8)


@dataclass(frozen=True)
class Frame:
    true_ns: float
    """When its last sample was really taken."""
    arrival_ns: int
    count: int


@dataclass(frozen=True)
class Sensor:
    """A sensor that sends frames of ``count`` samples, and the radio that delays or loses them."""

    rate_hz: float
    count: int = 36
    loss: float = 0
    stall: float = 0
    """How likely a frame begins a stall of up to 6 s, after which all frames arrive at once."""
    seed: int = 0

    @property
    def frame_s(self) -> float:
        return self.count / self.rate_hz

    def frames(self, seconds: float) -> Iterator[Frame]:
        chance = random.Random(self.seed)
        arrival = blocked_until = 0.0
        for number in range(1, round(seconds / self.frame_s)):
            true = number * self.frame_s
            if chance.random() < self.stall:
                blocked_until = true + chance.uniform(1, 6)
            if chance.random() < self.loss:
                continue
            # The radio keeps the order.
            arrival = max(arrival, true + chance.random() * JITTER_S, blocked_until)
            yield Frame(STARTED + true * 1e9, STARTED + round(arrival * 1e9), self.count)


def errors_s(sensor: Sensor, nominal_hz: int, seconds: float) -> list[float]:
    """Place all frames; return the error of each last sample, after what always holds."""
    placement, end_ns, errors = Placement(nominal_hz), 0.0, list[float]()
    for frame in sensor.frames(seconds):
        placed = placement.place_by_arrival(frame.arrival_ns, frame.count)
        assert placed is not None
        last_ns = last_of(placed, frame.count)
        assert end_ns - 1 <= placed.first_ns <= last_ns <= frame.arrival_ns + 1
        end_ns = last_ns
        errors.append((last_ns - frame.true_ns) / 1e9)
    return errors


def last_of(placed: Placed, count: int) -> float:
    return placed.first_ns + (count - 1) * (placed.period_ns or 0)


@pytest.mark.parametrize("rate_hz", [48, 49.9, 50, 52])
@pytest.mark.parametrize("seed", range(2))
def test_a_sensor_that_is_faster_or_slower_than_announced_is_followed_for_hours(
    rate_hz: float, seed: int
) -> None:
    errors = errors_s(Sensor(rate_hz, seed=seed), 50, HOURS * 3600)
    assert max(map(abs, errors[:30])) <= 36 / rate_hz + JITTER_S
    # By then the rate is known, and only the delay of the radio is left.
    assert max(map(abs, errors[30:])) <= 2 * JITTER_S


@pytest.mark.parametrize("rate_hz", [48, 52])
@pytest.mark.parametrize("loss", [0.02, 0.1])
def test_a_lost_frame_moves_only_the_next_one(rate_hz: float, loss: float) -> None:
    sensor = Sensor(rate_hz, loss=loss, seed=3)
    errors = errors_s(sensor, 50, HOURS * 3600)
    # The frame after a loss is placed as if it had waited; the next one shows that it had not.
    # Frames that are lost one after the other count together.
    expected = sensor.frame_s + JITTER_S
    wrong = [error for error in errors[30:] if abs(error) > expected]
    assert len(wrong) <= 2 * loss**2 * len(errors)
    assert max(map(abs, errors)) <= 4 * expected
    assert sorted(map(abs, errors))[len(errors) // 2] <= JITTER_S


@pytest.mark.parametrize("rate_hz", [48, 52])
def test_frames_that_waited_together_are_placed_one_after_the_other(rate_hz: float) -> None:
    sensor = Sensor(rate_hz, stall=0.01, seed=4)
    errors = errors_s(sensor, 50, HOURS * 3600)
    wrong = [error for error in errors[30:] if abs(error) > sensor.frame_s + JITTER_S]
    # Two waits right after each other look like two losses, about once in some hours.
    assert len(wrong) <= len(errors) / 1000
    assert max(map(abs, errors)) <= 6 + sensor.frame_s


@pytest.mark.parametrize(("nominal_hz", "rate_hz"), [(135, 55), (50, 135), (1, 52)])
def test_an_announced_rate_that_is_far_off_is_corrected(nominal_hz: int, rate_hz: float) -> None:
    # A Verity Sense announced 135 Hz and ran at 55.
    sensor = Sensor(rate_hz, seed=5)
    placement = Placement(nominal_hz)
    for number, frame in enumerate(sensor.frames(600)):
        placed = placement.place_by_arrival(frame.arrival_ns, frame.count)
        assert placed is not None
        assert last_of(placed, frame.count) <= frame.arrival_ns + 1
        if number > 60:
            assert abs(placed.first_ns + 35e9 / rate_hz - frame.true_ns) <= 2 * JITTER_S * 1e9
            assert placed.period_ns == pytest.approx(1e9 / rate_hz, rel=0.15)


def test_the_published_rate_is_the_measured_one() -> None:
    placement = Placement(50)
    periods = [
        placed.period_ns or 0
        for frame in Sensor(52, seed=6).frames(600)
        if (placed := placement.place_by_arrival(frame.arrival_ns, frame.count))
    ]
    half = periods[len(periods) // 2 :]
    assert sum(half) / len(half) == pytest.approx(SECOND / 52, rel=0.002)


def test_an_unknown_rate_is_learnt_from_the_second_frame() -> None:
    placement = Placement(None)
    first, second = list(Sensor(52, seed=7).frames(3))[:2]
    assert placement.place_by_arrival(first.arrival_ns, first.count) is None
    placed = placement.place_by_arrival(second.arrival_ns, second.count)
    assert placed is not None and placed.period_ns is not None


def test_frames_that_arrive_together_show_no_rate() -> None:
    placement = Placement(None)
    assert placement.place_by_arrival(STARTED, 36) is None
    assert placement.place_by_arrival(STARTED, 36) is None
    assert placement.place_by_arrival(STARTED + SECOND, 36) is not None


def test_after_a_silence_that_no_link_survives_times_begin_again() -> None:
    placement = Placement(50)
    placement.place_by_arrival(STARTED, 50)
    placed = placement.place_by_arrival(STARTED + 3600 * SECOND, 50)
    assert placed is not None
    assert last_of(placed, 50) == STARTED + 3600 * SECOND


@given(
    rate=st.none() | st.integers(1, 65535),
    frames=st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(1, 4096)), min_size=1),
)
def test_any_frames_are_in_order_and_before_their_arrival(
    rate: int | None, frames: list[tuple[int, int]]
) -> None:
    placement, arrival, end_ns = Placement(rate), STARTED, 0.0
    for waited, count in frames:
        arrival += waited
        if (placed := placement.place_by_arrival(arrival, count)) is not None:
            last_ns = last_of(placed, count)
            assert end_ns - 1 <= placed.first_ns <= last_ns <= arrival + 1
            # A link's longest silence, and the longest frame.
            assert placed.first_ns >= arrival - 632 * SECOND
            end_ns = last_ns
