"""Numbers and ids of samples, and wall times that are corrected once the clock is synced."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healthd.host.clock import Clock
from healthd.runs import Run
from healthd.samples import Measurement, Stamp, utc_text

# 2026-11-24T02:03:31Z, and a Pi that boots without a battery-backed clock.
TRUE_NS = 1_795_485_811_000_000_000
BOOT_NS = 86_400_000_000_000
SECOND_NS = 1_000_000_000


class Beat(Measurement):
    kind: ClassVar[str] = "beat"

    number: int = 0


class Clocks:
    """The wall clock and the monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.wall_ns, self.mono_ns = BOOT_NS, 100 * SECOND_NS

    def time_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def advance(self, seconds: int) -> None:
        self.wall_ns += seconds * SECOND_NS
        self.mono_ns += seconds * SECOND_NS


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    time = SimpleNamespace(time_ns=clocks.time_ns, monotonic_ns=clocks.monotonic_ns)
    monkeypatch.setattr("healthd.host.clock.time", time)
    return clocks


@pytest.fixture
def timesync(tmp_path: Path) -> Path:
    """The folder of a timesyncd that has not reached a server yet."""
    return tmp_path


def a_run(timesync: Path, boot: str = "boot") -> Run:
    return Run(Clock(timesync), {"BOOT_ID": boot})


def synchronise(clocks: Clocks, timesync: Path) -> None:
    """Let ten seconds pass, then set the clock to the true time."""
    clocks.advance(10)
    clocks.wall_ns = TRUE_NS
    (timesync / "synchronized").touch()


def envelope(payload: bytes) -> tuple[str, str]:
    fields: dict[str, Any] = orjson.loads(payload)
    return fields["time"], fields["clock"]


# Numbers and ids


def test_each_stream_counts_from_one_without_holes(timesync: Path) -> None:
    run = a_run(timesync)
    seqs = [
        run.sample(peripheral, stream, Beat()).seq
        for peripheral in ("strap", "scale")
        for stream in ("beat", "beat", "other", "beat")
    ]
    assert seqs == [1, 2, 1, 3] * 2


def test_an_id_is_made_of_the_run_and_the_number(timesync: Path) -> None:
    run, other = a_run(timesync), a_run(timesync)
    assert run.id != other.id
    sample = run.sample("strap", "beat", Beat())
    assert sample.id == f"{run.id}-1"
    assert sample.run == run.id
    assert other.sample("strap", "beat", Beat()).id == f"{other.id}-1"


def test_a_sample_has_the_given_stamp_or_the_present_one(clocks: Clocks, timesync: Path) -> None:
    run = a_run(timesync)
    given = Stamp(1, 2, "synced")
    assert run.sample("strap", "beat", Beat(), given).stamp is given
    assert run.sample("strap", "beat", Beat()).stamp == Stamp(BOOT_NS, 100 * SECOND_NS, "unsynced")


def test_an_event_is_a_sample_of_the_gateway(timesync: Path) -> None:
    run = a_run(timesync)
    first, second = run.event(Beat()), run.event(Beat(number=7))
    assert (first.peripheral, first.stream, first.seq) == ("", "event/beat", 1)
    assert (second.seq, second.measurement) == (2, Beat(number=7))


def test_the_boot_id_may_come_from_the_environment(timesync: Path) -> None:
    # As systemd writes it and as the kernel writes it.
    assert a_run(timesync, "0123-4567").boot == a_run(timesync, "01234567").boot == "01234567"


# Correction of the wall time


def test_an_unsynced_sample_is_corrected_once_the_clock_is_set(
    clocks: Clocks, timesync: Path
) -> None:
    run = a_run(timesync)
    sample = run.sample("strap", "beat", Beat(number=7))
    assert envelope(run.payload(sample)) == (utc_text(BOOT_NS), "unsynced")
    synchronise(clocks, timesync)
    payload = run.payload(sample)
    # Ten seconds before the clock was set.
    assert envelope(payload) == (utc_text(TRUE_NS - 10 * SECOND_NS), "synced")
    assert orjson.loads(payload)["number"] == 7
    assert orjson.loads(payload)["id"] == sample.id


def test_a_synced_sample_keeps_its_time_when_the_clock_steps(
    clocks: Clocks, timesync: Path
) -> None:
    synchronise(clocks, timesync)
    run = a_run(timesync)
    sample = run.sample("strap", "beat", Beat())
    clocks.wall_ns += 3600 * SECOND_NS
    assert envelope(run.payload(sample)) == (utc_text(TRUE_NS), "synced")


def test_a_stored_payload_of_this_boot_is_corrected_by_a_later_run(
    clocks: Clocks, timesync: Path
) -> None:
    run = a_run(timesync)
    sample = run.sample("strap", "beat", Beat(number=7))
    stored = run.payload(sample)
    later = a_run(timesync)
    assert later.stored_payload(stored, sample.stamp, run.boot) == stored
    synchronise(clocks, timesync)
    repaired = later.stored_payload(stored, sample.stamp, run.boot)
    before = orjson.loads(stored)
    assert orjson.loads(repaired) == before | {
        "time": utc_text(TRUE_NS - 10 * SECOND_NS),
        "clock": "synced",
    }
    # The envelope is still first, in its order.
    assert list(orjson.loads(repaired)) == list(before)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("other", "boot"), ("", "boot"), ("boot", ""), ("", "")]
)
def test_a_stored_payload_of_another_boot_is_unchanged(
    clocks: Clocks, timesync: Path, theirs: str, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the kernel of this machine has no boot id either.
    monkeypatch.setattr("healthd.host.clock._BOOT_ID", timesync / "absent")
    run = a_run(timesync, theirs)
    sample = run.sample("strap", "beat", Beat())
    stored = run.payload(sample)
    synchronise(clocks, timesync)
    assert a_run(timesync, ours).boot == ours
    assert a_run(timesync, ours).stored_payload(stored, sample.stamp, theirs) is stored


def test_a_stored_payload_with_a_synced_time_is_unchanged(clocks: Clocks, timesync: Path) -> None:
    synchronise(clocks, timesync)
    run = a_run(timesync)
    sample = run.sample("strap", "beat", Beat())
    stored = run.payload(sample)
    clocks.wall_ns += 3600 * SECOND_NS
    assert run.stored_payload(stored, sample.stamp, run.boot) is stored


@pytest.mark.parametrize(
    ("wall_ns", "mono_ns", "delay_ns"),
    [
        (TRUE_NS + 2**63, 5 + 2**63, -(2**63)),
        (TRUE_NS + 144 * SECOND_NS, 149 * SECOND_NS, -144 * SECOND_NS),
        (TRUE_NS - 2**63, -(2**63), 2**63 + 5),
        (TRUE_NS - 86_401 * SECOND_NS, -86_396 * SECOND_NS, 86_401 * SECOND_NS),
    ],
    ids=["beyond 64 bits", "after its arrival", "before all clocks", "more than a day late"],
)
def test_a_time_that_is_not_plausible_becomes_that_of_arrival(
    timesync: Path, wall_ns: int, mono_ns: int, delay_ns: int
) -> None:
    """D1: a sample whose time did not fit into the store stopped every commit."""
    run = a_run(timesync)
    with capture_logs() as logs:
        samples = [
            run.sample("strap", "ecg", Beat(), Stamp(wall_ns, mono_ns, "synced"), delay_ns)
            for _ in range(3)
        ]
    for sample in samples:
        arrival = (wall_ns + delay_ns, mono_ns + delay_ns)
        assert (sample.stamp.wall_ns, sample.stamp.mono_ns, sample.delay_ns) == (*arrival, 0)
    # Once for all of a peripheral's samples.
    assert [line["event"] for line in logs] == ["time not plausible"]
    assert logs[0]["peripheral"] == "strap"


def test_a_sample_that_waited_or_was_measured_a_moment_ahead_keeps_its_time(timesync: Path) -> None:
    run = a_run(timesync)
    stamp = Stamp(TRUE_NS, 10**15, "synced")
    for delay_ns in (-(10**8), 0, 86_400 * SECOND_NS):
        sample = run.sample("strap", "ecg", Beat(), stamp, delay_ns)
        assert (sample.stamp, sample.delay_ns) == (stamp, delay_ns)


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_any_time_fits_into_the_store_and_into_a_text(wall: int, mono: int, delay: int) -> None:
    run = Run(Clock(Path("/nowhere")), {})
    sample = run.sample("strap", "ecg", Beat(), Stamp(wall, mono, "unsynced"), delay)
    assert abs(sample.stamp.wall_ns) < 2**63
    assert abs(sample.stamp.mono_ns) < 2**63
    assert abs(sample.arrived_ns) < 2**63
    assert orjson.loads(sample.payload())["time"].endswith("Z")
