"""The sources of Heart Rate Measurement payloads."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.simulator.heart import CAPTURES, ReplayedHeart, SyntheticHeart


def parse(payload: bytes) -> tuple[int, int, int | None, list[int]]:
    """Flags, rate, energy, RR intervals; enough of the layout to check what we make."""
    flags, rate, *_ = payload
    rest = payload[2:]
    energy = None
    if flags & 0b01000:
        energy, rest = struct.unpack("<H", rest[:2])[0], rest[2:]
    assert bool(rest) == bool(flags & 0b10000)
    return flags, rate, energy, [value for (value,) in struct.iter_unpack("<H", rest)]


@given(st.integers(), st.sampled_from([45.0, 72.0, 150.0]))
def test_the_sum_of_the_intervals_follows_the_time(seed: int, mean_bpm: float) -> None:
    heart = SyntheticHeart(random.Random(seed), mean_bpm=mean_bpm)
    ticks = 0
    for second in range(1, 301):
        flags, rate, _, intervals = parse(heart.payload(1.0))
        ticks += sum(intervals)
        assert flags & 0b00110 == 0b00110
        assert len(intervals) <= 3
        assert 40 <= rate <= 165
        # What is missing is the beat that is under way.
        assert 0 <= second - ticks / 1024 < 1.5


def test_the_same_seed_makes_the_same_heart() -> None:
    one, other = (SyntheticHeart(random.Random(7)) for _ in range(2))
    assert [one.payload(1.0) for _ in range(60)] == [other.payload(1.0) for _ in range(60)]


def test_the_rate_wanders() -> None:
    heart = SyntheticHeart(random.Random(3))
    assert len({parse(heart.payload(1.0))[1] for _ in range(300)}) > 3


def test_energy_comes_with_every_tenth_packet_grows_and_can_be_reset() -> None:
    heart = SyntheticHeart(random.Random(3), mean_bpm=140.0)
    energies = [parse(heart.payload(1.0))[2] for _ in range(600)]
    present = [energy for energy in energies if energy is not None]
    assert [index % 10 for index, energy in enumerate(energies) if energy is not None] == [9] * 60
    assert present == sorted(present)
    assert present[-1] > 200
    heart.reset_energy()
    assert max(parse(heart.payload(1.0))[2] or 0 for _ in range(10)) <= 10


def test_energy_stays_at_its_largest_value() -> None:
    heart = SyntheticHeart(random.Random(3), mean_bpm=150.0)
    assert [parse(heart.payload(1.5e4))[2] for _ in range(10)][-1] == 0xFFFF


def test_a_packet_stays_small_after_a_long_pause() -> None:
    heart = SyntheticHeart(random.Random(3))
    assert all(len(heart.payload(3600.0)) <= 20 for _ in range(20))


def test_no_beat_is_told_twice_at_a_high_rate_of_packets() -> None:
    heart = SyntheticHeart(random.Random(3))
    counts = [len(parse(heart.payload(0.01))[3]) for _ in range(6000)]
    assert max(counts) == 1
    assert sum(counts) == pytest.approx(72, abs=15)


def test_replay_begins_again_at_its_end() -> None:
    heart = ReplayedHeart()
    payloads = [heart.payload(1.0) for _ in range(2 * len(CAPTURES))]
    assert payloads == 2 * [capture.payload for capture in CAPTURES]
    heart.reset_energy()
    assert payloads[0] == bytes.fromhex("104372038a03")
