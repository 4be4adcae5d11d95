"""The sources of Heart Rate Measurement payloads."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.simulator.heart import CAPTURES, ReplayedHeart, SyntheticHeart


def parse(payload: bytes) -> tuple[int, int, int | None, list[int]]:
    """Return flags, rate, energy and RR intervals; enough of the layout for these tests."""
    flags, rate, *_ = payload
    rest = payload[2:]
    energy = None
    if flags & 0b01000:
        energy, rest = struct.unpack("<H", rest[:2])[0], rest[2:]
    assert bool(rest) == bool(flags & 0b10000)
    return flags, rate, energy, [value for (value,) in struct.iter_unpack("<H", rest)]


# An example is five minutes of a random heart, so a few of each rate are enough.
@settings(max_examples=30)
@given(st.integers(), st.sampled_from([45.0, 72.0, 150.0]))
def test_sum_of_intervals_follows_the_time(seed: int, mean_bpm: float) -> None:
    heart = SyntheticHeart(random.Random(seed), mean_bpm=mean_bpm)
    ticks = 0
    for second in range(1, 301):
        flags, rate, _, intervals = parse(heart.payload(1.0))
        ticks += sum(intervals)
        assert flags & 0b00110 == 0b00110
        assert len(intervals) <= 3
        assert 40 <= rate <= 165
        # The difference is the current beat, which is not complete.
        assert 0 <= second - ticks / 1024 < 1.5


def test_same_seed_creates_the_same_payloads() -> None:
    first, second = (SyntheticHeart(random.Random(7)) for _ in range(2))
    assert [first.payload(1.0) for _ in range(60)] == [second.payload(1.0) for _ in range(60)]


def test_rate_varies() -> None:
    heart = SyntheticHeart(random.Random(3))
    assert len({parse(heart.payload(1.0))[1] for _ in range(300)}) > 3


def test_energy_is_in_every_tenth_packet_grows_and_can_be_reset() -> None:
    heart = SyntheticHeart(random.Random(3), mean_bpm=140.0)
    energies = [parse(heart.payload(1.0))[2] for _ in range(600)]
    present = [energy for energy in energies if energy is not None]
    assert [index % 10 for index, energy in enumerate(energies) if energy is not None] == [9] * 60
    assert present == sorted(present)
    assert present[-1] > 200
    heart.reset_energy()
    assert max(parse(heart.payload(1.0))[2] or 0 for _ in range(10)) <= 10


def test_energy_stays_at_its_largest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hundred times the power, so that the counter is full after minutes instead of a day.
    monkeypatch.setattr("healthd.simulator.heart._KW_PER_BPM", 0.65)
    heart = SyntheticHeart(random.Random(3), mean_bpm=150.0)
    assert [parse(heart.payload(150.0))[2] for _ in range(10)][-1] == 0xFFFF


def test_packet_stays_small_after_a_long_pause() -> None:
    heart = SyntheticHeart(random.Random(3))
    assert all(len(heart.payload(3600.0)) <= 20 for _ in range(20))


def test_no_beat_is_sent_twice_at_a_high_packet_rate() -> None:
    heart = SyntheticHeart(random.Random(3))
    counts = [len(parse(heart.payload(0.01))[3]) for _ in range(6000)]
    assert max(counts) == 1
    assert sum(counts) == pytest.approx(72, abs=15)


def test_replay_restarts_at_the_end() -> None:
    heart = ReplayedHeart()
    payloads = [heart.payload(1.0) for _ in range(2 * len(CAPTURES))]
    assert payloads == 2 * [capture.payload for capture in CAPTURES]
    heart.reset_energy()
    assert payloads[0] == bytes.fromhex("104372038a03")
