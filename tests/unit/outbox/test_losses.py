"""Losses: gathered for each stream, and reported at growing intervals."""

import time

import pytest

from healthd.outbox.losses import INTERVALS, Losses
from healthd.outbox.schema import Lost
from healthd.samples import Sample, Stamp
from tests.unit.outbox.bench import Beat

WALL_NS = 1_795_485_811_000_000_000
RUN = "run"


class Time:
    """The monotonic clock, set by a test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "monotonic", clock)
    # As in the daemon; the other tests of the outbox do not wait.
    monkeypatch.setattr("healthd.outbox.losses.INTERVALS", INTERVALS)
    return clock


def sample(seq: int, peripheral: str = "strap", run: str = RUN) -> Sample:
    return Sample(peripheral, "beat", run, seq, Stamp(WALL_NS + seq, seq, "synced"), Beat())


def test_losses_are_one_for_each_stream_and_run(clock: Time) -> None:
    losses = Losses()
    for each in (sample(3), sample(1, "scale"), sample(4), sample(7), sample(1, run="before")):
        losses.add_sample(each)
    expected = [
        Lost("strap", "beat", RUN, 3, 7, WALL_NS + 3, WALL_NS + 7, 3),
        Lost("scale", "beat", RUN, 1, 1, WALL_NS + 1, WALL_NS + 1, 1),
    ]
    assert list(losses.unreported(RUN)) == expected
    assert losses.count == losses.unreported_count == 5
    before = Lost("strap", "beat", "before", 1, 1, WALL_NS + 1, WALL_NS + 1, 1)
    assert losses.pop_due(RUN) == [*expected, before]
    assert (losses.count, losses.unreported_count) == (5, 0)
    assert losses.pop_due(RUN) == []


def test_an_outage_of_a_week_makes_few_reports_that_name_every_loss(clock: Time) -> None:
    losses, reported, seq, begin = Losses(), list[Lost](), 0, clock.now
    while clock.now < begin + 7 * 86400:
        seq += 1
        losses.add_sample(sample(seq))
        reported += losses.pop_due(RUN)
        clock.now += 10
    assert reported[0].last_seq == 1, "the first loss is reported at once"
    assert len(reported) < 200
    reported += losses.pop_due(RUN, all_of_them=True)
    named = [number for lost in reported for number in range(lost.first_seq, lost.last_seq + 1)]
    assert named == list(range(1, seq + 1))


def test_after_a_quiet_time_a_loss_is_reported_at_once_again(clock: Time) -> None:
    losses = Losses()
    losses.add_sample(sample(1))
    assert len(losses.pop_due(RUN)) == 1
    losses.add_sample(sample(2))
    assert losses.pop_due(RUN) == []
    clock.now += 10.0
    assert len(losses.pop_due(RUN)) == 1
    clock.now += 20.0
    assert losses.pop_due(RUN) == []
    losses.add_sample(sample(3))
    assert len(losses.pop_due(RUN)) == 1


def test_losses_of_earlier_runs_do_not_wait(clock: Time) -> None:
    """If this run is killed, the next one does not know of them."""
    losses = Losses()
    for seq in (1, 2):
        losses.add_sample(sample(seq, run="before"))
        assert [lost.first_seq for lost in losses.pop_due(RUN)] == [seq]


def test_a_loss_as_an_event_names_the_samples_and_their_times() -> None:
    lost = Lost("strap", "beat", RUN, 3, 5, WALL_NS + 3, WALL_NS + 5, 2)
    assert lost.as_gap("evicted").fields() == {
        "peripheral": "strap",
        "stream": "beat",
        "reason": "evicted",
        "first": "2026-11-24T02:03:31.000000Z",
        "last": "2026-11-24T02:03:31.000000Z",
        "run": "run",
        "first_seq": 3,
        "last_seq": 5,
        "count": 2,
    }
