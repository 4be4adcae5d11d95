"""The outbox while its disk fails, or its file is damaged or deleted."""

from contextlib import ExitStack

import pytest
from structlog.typing import EventDict

from healthd.outbox.pending import SAMPLE_BYTES
from tests.unit.outbox.bench import (
    OVERDUE_S,
    Bench,
    Service,
    checkpoint,
    failing_disk,
    garble_header,
    lost_seqs,
    next_beats,
    next_history,
    next_live,
    reported_changes,
    reported_gaps,
    stored_gaps,
)

# The disk fails


async def test_samples_dropped_from_memory_are_reported_exactly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 50 * SAMPLE_BYTES)
    samples = [bench.sample(OVERDUE_S) for _ in range(80)]
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(samples[0])
            await service.failed()
            for sample in samples[1:]:
                outbox.put(sample)
            await service.failed()
        await service.rounds()
        kept = bench.stored_seqs()
        assert kept == list(range(81 - len(kept), 81))
        assert 45 <= len(kept) <= 50  # events about the fault itself take a few places
        reported = await reported_gaps(outbox)
    gone = 80 - len(kept)
    assert reported[0]["peripheral"] == "strap"
    assert reported[0]["reason"] == "evicted"
    assert reported[0]["run"] == bench.run.id
    assert lost_seqs(reported) == list(range(1, gone + 1))
    assert sum(gap["count"] for gap in reported) == gone


async def test_all_samples_dropped_during_a_long_disk_fault_are_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 50 * SAMPLE_BYTES)
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            for _ in range(5):
                for _ in range(60):
                    outbox.put(bench.sample(OVERDUE_S))
                await service.failed()
        await service.rounds()
        kept = set(bench.stored_seqs())
        reported = [*await reported_gaps(outbox), *stored_gaps(bench.path)]
    assert 300 in kept
    assert sorted(lost_seqs(reported)) == sorted(set(range(1, 301)) - kept)


async def test_a_disk_fault_and_its_end_are_each_reported_once(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        with failing_disk():
            await service.failed()
            await service.failed()
        await service.rounds()
        await service.rounds()
        assert await reported_changes(outbox) == ["degraded", "recovered"]
        assert bench.stored_seqs() == [1]


async def test_a_disk_that_can_only_be_read_is_degraded_until_it_can_be_written(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(bench.sample(OVERDUE_S))
            await service.failed()
            (beat,) = await next_beats(outbox, 1)
            outbox.live.acknowledge(beat)
            # Nothing is left to write; counters and backlog are still read.
            await service.failed()
            assert (await outbox.stats())["state"] == "degraded"
        # It finds out by itself, without a sample being put.
        await service.rounds()
        assert (await outbox.stats())["state"] == "ok"
        outbox.requeue_unacknowledged()
        assert await reported_changes(outbox) == ["degraded", "recovered"]


async def test_a_stop_with_a_failing_disk_logs_how_many_samples_are_lost(
    bench: Bench, log: list[EventDict]
) -> None:
    async with bench.outbox() as outbox:
        for _ in range(3):
            outbox.put(bench.sample())
        (sent, *_) = await next_live(outbox, 1)
        assert not sent.acked
        fault = ExitStack()
        fault.enter_context(failing_disk())
    fault.close()
    (line,) = [line for line in log if line["event"] == "samples lost with the disk"]
    assert line["count"] >= 3
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert not previous.clean


@pytest.mark.parametrize("stored", [False, True])
async def test_a_stop_with_a_failing_disk_is_no_error_if_no_sample_is_lost(
    bench: Bench, log: list[EventDict], *, stored: bool
) -> None:
    fault = ExitStack()
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S if stored else 0))
        if stored:
            await service.rounds()
        else:
            (beat,) = await next_live(outbox, 1)
            outbox.live.acknowledge(beat)
        fault.enter_context(failing_disk())
    fault.close()
    # The disk did fail, and the run could not be noted as clean.
    assert [line["change"] for line in log if line["event"] == "outbox"] == ["degraded"]
    assert not [line for line in log if line["event"] == "samples lost with the disk"]
    assert not [line for line in log if line["log_level"] == "error"]


# Damaged and deleted files


async def test_a_late_acknowledgement_deletes_no_row_of_a_replaced_file(
    bench: Bench,
) -> None:
    """What a slow broker acknowledges late must not delete a sample that was stored since."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await next_live(outbox, 1)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        checkpoint(bench.path)
        garble_header(bench.path)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert list(bench.folder.glob("*.corrupt-*[0-9]"))
        assert 2 in bench.stored_seqs()
        outbox.live.acknowledge(sent)
        await service.rounds()
        # The first one was copied from the damaged file: it arrives twice, with the same id.
        assert bench.stored_seqs() == [1, 2]
        found = [stored.seq for stored in await next_history(outbox) if stored.peripheral]
        assert found == [1, 2]


async def test_samples_in_memory_are_stored_again_after_their_file_was_set_aside(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        await next_live(outbox, 1)
        await service.rounds()
        checkpoint(bench.path)
        garble_header(bench.path)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert list(bench.folder.glob("*.corrupt-*[0-9]"))
    # The broker never acknowledged the first one. It was also copied from the damaged file.
    assert sorted(bench.stored_seqs()) == [1, 1, 2]


async def test_a_deleted_file_loses_no_samples(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        first, _ = await next_history(outbox)
        for file in list(bench.folder.glob("outbox.sqlite3*")):
            file.unlink()
        outbox.put(bench.sample(OVERDUE_S))
        outbox.backlog.acknowledge(first.row)
        await service.rounds()
        assert bench.stored_seqs() == [2, 3]
        assert [stored.seq for stored in await next_history(outbox) if stored.peripheral] == [3]
