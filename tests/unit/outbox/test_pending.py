"""What is known of samples that were lost, and when one counts as waiting too long."""

from healthd.outbox.pending import Pending, summarise
from healthd.outbox.schema import Lost
from healthd.samples import Sample, Stamp
from tests.unit.outbox.bench import Beat

WALL_NS = 1_795_485_811_000_000_000


def sample(seq: int, peripheral: str = "strap", run: str = "run") -> Sample:
    return Sample(peripheral, "beat", run, seq, Stamp(WALL_NS + seq, seq, "synced"), Beat())


def test_losses_are_one_for_each_stream_and_run() -> None:
    dropped = [sample(3), sample(1, "scale"), sample(4), sample(7), sample(1, run="next")]
    assert summarise(dropped) == [
        Lost("strap", "beat", "run", 3, 7, WALL_NS + 3, WALL_NS + 7, 3),
        Lost("scale", "beat", "run", 1, 1, WALL_NS + 1, WALL_NS + 1, 1),
        Lost("strap", "beat", "next", 1, 1, WALL_NS + 1, WALL_NS + 1, 1),
    ]
    assert summarise([]) == []


def test_a_loss_as_an_event_names_the_samples_and_their_times() -> None:
    (lost,) = summarise([sample(3), sample(5)])
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


def test_age_is_by_the_monotonic_clock_unless_it_is_urgent() -> None:
    pending = Pending(sample(5))
    assert pending.is_older_than(5)
    assert not pending.is_older_than(4)
    pending.urgent = True
    assert pending.is_older_than(4)


def test_age_counts_from_arrival_and_not_from_when_it_was_measured() -> None:
    """A frame of ECG is as old as its first sample; it has not waited for the broker so long."""
    placed = Stamp(WALL_NS, 5, "synced")
    pending = Pending(Sample("strap", "beat", "run", 1, placed, Beat(), delay_ns=3))
    assert pending.is_older_than(8)
    assert not pending.is_older_than(7)
