"""Records of devices: each is noted together with its sample, and known to the next run."""

from functools import partial

import pytest

from healthd.outbox.store import Store
from healthd.outbox.taken import (
    KEPT_DAYS,
    RecordUpdate,
    forget_missing,
    read_records,
    update_records,
)
from healthd.profiles.records import Records
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


async def test_at_each_commit_the_newest_record_of_a_file_is_noted_and_few_others(
    bench: Bench,
) -> None:
    """Whenever the process dies, the file is continued after its last stored sample."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        records = Records(partial(outbox.update_records, "meter"))
        files = records.files("beat")
        for number in range(400):
            record = Record("night", number, "noon")
            assert records.add_if_new("beat", record)
            outbox.put(bench.run.sample("meter", "beat", Beat(), None, 0, record, stored=True))
            if number % 9 == 0:
                await service.rounds()
                noted = [noted for noted, _ in noted_records(bench)]
                assert max(noted) == max(bench.stored_seqs()) - 1 == number
                assert len(noted) < 100
        assert files.count("night") == 400
    bench.next_run()
    async with bench.outbox() as outbox:
        again = Records()
        again.inherit(outbox.records["meter"])
        assert again.files("beat").count("night") == 400


async def test_of_too_many_notes_the_oldest_are_deleted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: a glucose meter that sends records forever filled the outbox with notes."""
    monkeypatch.setattr("healthd.outbox.taken.MOST_RECORDS", 10)
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.update_records("meter", [], {("beat", Record("", 0, "noon")): True})
        await service.rounds()
        for number in range(1, 40):
            outbox.put(sample_of_record(bench, number, stored=True))
        outbox.update_records("meter", [], {})
        await service.rounds()
        # The newest complete one is kept: the next transfer begins there.
        assert noted_records(bench) == [(0, 1), *((number, 0) for number in range(30, 40))]


async def test_notes_of_an_older_version_are_bounded_at_the_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in range(40):
            outbox.put(sample_of_record(bench, number, stored=True))
        await service.rounds()
    monkeypatch.setattr("healthd.outbox.taken.MOST_RECORDS", 10)
    monkeypatch.setattr("healthd.outbox.taken._MOST_AT_ONCE", 25)
    for left in (15, 10, 10):
        bench.next_run()
        async with bench.outbox() as outbox:
            assert [record.number for _, record in outbox.records["meter"]] == list(range(30, 40))
            await outbox.forget_missing(["meter"])
        assert [number for number, _ in noted_records(bench)] == list(range(40 - left, 40))


async def test_changes_of_notes_that_wait_for_the_disk_do_not_add_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox._MOST_UPDATED_RECORDS", 10)
    async with bench.outbox() as outbox:
        for number in range(100):
            outbox.update_records("meter", [], {("beat", Record("", number, "noon")): True})
        async with Service(outbox) as service:
            await service.rounds()
            assert noted_records(bench) == [(number, 1) for number in range(5)]
            outbox.update_records("meter", [], {("beat", Record("", 100, "noon")): True})
            await service.rounds()
            assert (100, 1) in noted_records(bench)


async def test_a_clock_that_is_not_synchronised_forgets_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [1000]

    def forget(_: Store, __: object, day: int) -> None:
        days.append(day)

    monkeypatch.setattr("healthd.outbox.outbox.forget_missing", forget)
    async with bench.outbox() as outbox:
        now = bench.run.clock.now()
        monkeypatch.setattr(bench.run.clock, "now", lambda: now._replace(clock="unsynced"))
        await outbox.forget_missing(["meter"])
        assert days == [1000]
        monkeypatch.setattr(bench.run.clock, "now", lambda: now._replace(clock="synced"))
        await outbox.forget_missing(["meter"])
        assert days == [1000, now.wall_ns // 86_400_000_000_000]


def test_notes_of_a_peripheral_that_left_the_settings_are_forgotten_after_months(
    bench: Bench,
) -> None:
    store = Store(bench.path, 2**20)

    def known(present: list[str], day: int) -> set[str]:
        forget_missing(store, present, day)
        return set(read_records(store))

    updates = [
        RecordUpdate(name, (), {("beat", Record("", 1, "noon")): True}) for name in ("old", "new")
    ]
    update_records(store, updates)
    assert known(["old", "new"], 100) == {"old", "new"}
    assert known(["new"], 101) == {"old", "new"}
    assert known(["new"], 101 + KEPT_DAYS) == {"old", "new"}
    # It was back for a day, so the time begins again.
    assert known(["old", "new"], 300) == {"old", "new"}
    assert known(["new"], 302) == {"old", "new"}
    assert known(["new"], 303 + KEPT_DAYS) == {"new"}
    store.close()
