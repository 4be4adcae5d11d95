"""A sample on its way: whose it is, how much memory it takes, when it waits for too long."""

import tracemalloc
from pathlib import Path

import pytest

from healthd.events import Gap, LinkEvent, OutboxEvent
from healthd.host.clock import Clock
from healthd.outbox.pending import Pending
from healthd.profiles import registry
from healthd.profiles.polar_pmd.streams import Acceleration, Ppg
from healthd.runs import Run
from healthd.samples import Measurement, Sample, Stamp
from tests.unit.outbox.bench import Beat

KNOWN = registry.load().characteristics
WALL_NS = 1_795_485_811_000_000_000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Clock(tmp_path), {})


def test_an_event_belongs_to_the_peripheral_that_it_is_about(run: Run) -> None:
    up = LinkEvent(peripheral="strap", change="up")
    assert Pending(run.event(up)).owner == "strap"
    assert Pending(run.event(OutboxEvent(change="degraded", detail=""))).owner == ""
    gap = Gap(peripheral="scale", stream="weight", reason="evicted", first="", last="", run="r")
    assert Pending(run.event(gap)).owner == "scale"
    assert Pending(run.sample("belt", "link", up)).owner == "belt"


def heart_rate() -> Measurement:
    return KNOWN["2a37"].decode(bytes.fromhex("1648640064006400"))


def acceleration() -> Measurement:
    x_mg, y_mg, z_mg = ([axis + float(each) for each in range(500)] for axis in range(3))
    return Acceleration(sample_rate_hz=200, x_mg=x_mg, y_mg=y_mg, z_mg=z_mg)


def ppg() -> Measurement:
    return Ppg(sample_rate_hz=55, channels=[[each * 1000 for each in range(500)] for _ in range(4)])


@pytest.mark.parametrize("make", [heart_rate, acceleration, ppg])
def test_its_size_is_about_the_memory_that_it_takes(run: Run, make: type[Measurement]) -> None:
    make()  # what is built with the first one
    tracemalloc.start()
    try:
        kept = [Pending(run.sample("strap", "beat", make())) for _ in range(20)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 < sum(each.size for each in kept) / taken < 2


def test_age_is_by_the_monotonic_clock_unless_it_is_urgent() -> None:
    stamp = Stamp(WALL_NS + 5, 5, "synced")
    pending = Pending(Sample("strap", "beat", "run", 5, stamp, Beat()))
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
