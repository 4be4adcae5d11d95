"""Records of devices: each is noted together with its sample, and known to the next run."""

from healthd.samples import Record, Sample
from tests.unit.outbox.bench import (
    Beat,
    Bench,
    Service,
    failing_disk,
    next_history,
    next_live,
    select,
)


def sample_of_record(bench: Bench, number: int, *, stored: bool = False) -> Sample:
    run, record = bench.run, Record("", number, "noon")
    return run.sample("meter", "beat", Beat(), None, 0, record, stored=stored)


def noted_records(bench: Bench) -> list[tuple[int, int]]:
    """Return number and ``whole`` of each noted record, as another process sees them."""
    return select(bench.path, "SELECT number, whole FROM records ORDER BY number")


async def test_a_record_is_committed_with_its_note_before_it_is_sent(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        outbox.put(sample_of_record(bench, 1))
        outbox.put(bench.sample())
        # The record is not sent before the service commits it; other samples do not wait for that.
        [beat] = await next_live(outbox, 1)
        assert beat.sample.peripheral == "strap"
        async with Service(outbox):
            [pending] = await next_live(outbox, 1)
            assert pending.sample.record == Record("", 1, "noon")
            assert noted_records(bench) == [(1, 0)]
            assert bench.stored_seqs() == [1]


async def test_an_acknowledged_record_stays_known(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(sample_of_record(bench, 1))
        for pending in await next_live(outbox, 1):
            outbox.live.acknowledge(pending)
        await service.rounds()
        assert bench.stored() == []
        assert noted_records(bench) == [(1, 0)]
    bench.next_run()
    async with bench.outbox() as outbox:
        assert outbox.records == {"meter": {("beat", Record("", 1, "noon")): False}}


async def test_stored_records_go_to_the_history_in_order(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in (1, 2, 3):
            outbox.put(sample_of_record(bench, number, stored=True))
        outbox.put(sample_of_record(bench, 4))
        [newest] = await next_live(outbox, 1)
        assert newest.sample.seq == 4
        await service.rounds()
        assert [stored.seq for stored in await next_history(outbox)] == [1, 2, 3]
        assert len(outbox.live) == 1


async def test_record_updates_are_applied_after_the_records_put_before_them(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in (1, 2):
            outbox.put(sample_of_record(bench, number, stored=True))
        first, second = (("beat", Record("", number, "noon")) for number in (1, 2))
        outbox.update_records("meter", [first], {second: True})
        await service.rounds()
        assert noted_records(bench) == [(2, 1)]


async def test_a_complete_transfer_stays_complete_if_its_last_sample_is_committed_later(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.update_records("meter", [], {("beat", Record("", 1, "noon")): True})
        await service.rounds()
        assert noted_records(bench) == [(1, 1)]
        outbox.put(sample_of_record(bench, 1, stored=True))
        await service.rounds()
        assert bench.stored_seqs() == [1]
        assert noted_records(bench) == [(1, 1)]


async def test_a_record_is_sent_while_the_disk_fails_and_noted_once_it_is_back(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(sample_of_record(bench, 1, stored=True))
            outbox.update_records("meter", [], {("beat", Record("", 1, "noon")): True})
            await service.failed()
            [pending] = await next_live(outbox, 1)
            assert pending.sample.seq == 1
        await service.rounds()
        assert noted_records(bench) == [(1, 1)]
