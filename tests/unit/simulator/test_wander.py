"""Random values around a mean, and counters of revolutions."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.simulator.wander import Revolutions, Wander


# An example is 300 random steps, so a few of each length are enough.
@settings(max_examples=30)
@given(st.integers(), st.sampled_from([0.01, 1.0, 600.0]))
def test_value_stays_near_its_mean(seed: int, step: float) -> None:
    wander = Wander(random.Random(seed), 100.0, 5.0)
    values = [wander.step(step) for _ in range(300)]
    assert min(values) >= 85.0
    assert max(values) <= 115.0
    assert len(set(values)) > 250


def test_value_follows_a_changed_mean() -> None:
    wander = Wander(random.Random(1), 100.0, 1.0)
    wander.mean = 200.0
    for _ in range(200):
        wander.step(1.0)
    assert 197.0 <= wander.value <= 203.0


def test_event_time_is_the_end_of_a_revolution() -> None:
    wheel = Revolutions(7)
    wheel.turn(0.9, 1.0)
    assert (wheel.count, wheel.event(1024)) == (7, 0)
    wheel.turn(0.6, 1.0)  # a complete revolution at 1.0 s, and half of the next one
    assert wheel.count == 8
    assert wheel.event_s == pytest.approx(1.0)
    wheel.turn(0.1, 1.0)  # no new event
    assert wheel.event_s == pytest.approx(1.0)
    wheel.turn(1.0, 2.5)  # 0.6 + 2.5 turns
    assert wheel.count == 11
    assert wheel.event_s == pytest.approx(2.6 - 0.1 / 2.5)
    wheel.turn(70.0, 1.0)
    assert wheel.event(1024) == int(wheel.event_s * 1024) % 65536
    assert wheel.event_s > 64
