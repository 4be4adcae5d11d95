"""What one run leaves for the next: whether it stopped cleanly, and where its streams ended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from healthd.outbox.continuity import (
    End,
    Ends,
    PreviousRun,
    RunFile,
    begin_run,
    end_run,
    note_certain,
)
from healthd.outbox.store import Store
from tests.unit.outbox.bench import (
    OVERDUE_S,
    QUOTA,
    Beat,
    Bench,
    Service,
    entry,
    failing_disk,
    next_live,
    select,
    waiting_samples,
)

BEAT, OTHER = ("strap", "beat"), ("scale", "undecoded/2a9d")
ENDS: Ends = {BEAT: End(17, 1_795_485_811_000_000_017), OTHER: End(4, 5)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "outbox.sqlite3", QUOTA)) as store:
        yield store


# Runs


def begin(
    store: Store, run: str, at: int, from_file: PreviousRun | None = None
) -> list[PreviousRun]:
    return begin_run(store, run, at, from_file)


def test_the_first_run_has_no_previous_run(store: Store) -> None:
    assert begin(store, "first", 1) == []


def test_a_clean_stop_is_known_with_the_end_of_each_stream(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    assert begin(store, "second", 2) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_that_never_ended_is_unclean_and_has_no_certain_samples(store: Store) -> None:
    begin(store, "first", 1)
    assert begin(store, "second", 2) == [PreviousRun("first", False, 1, {})]


def test_a_run_can_only_end_itself(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "another", {})
    (before,) = begin(store, "second", 2)
    assert not before.clean


def test_the_run_file_says_where_streams_are_certain_after_an_unclean_stop(store: Store) -> None:
    begin(store, "first", 1)
    unclean = PreviousRun("first", False, 1, ENDS)
    assert begin(store, "second", 2, unclean) == [unclean]


def test_a_clean_stop_takes_precedence_over_the_run_file(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    stale = PreviousRun("first", False, 1, {BEAT: End(3, 3)})
    assert begin(store, "second", 2, stale) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_that_was_never_stored_is_known_from_the_run_file(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    second = PreviousRun("second", False, 2, {})
    assert begin(store, "third", 3, second) == [PreviousRun("first", True, 1, ENDS), second]


def test_gaps_that_a_run_did_not_report_are_left_to_later_runs(store: Store) -> None:
    """The second run stopped before a stream's first sample, so it did not report that gap."""
    begin(store, "first", 1)
    first = PreviousRun("first", False, 1, {BEAT: End(17, 17), OTHER: End(4, 4)})
    begin(store, "second", 2, first)
    second = PreviousRun("second", False, 2, {BEAT: End(1, 20)})
    assert begin(store, "third", 3, second) == [first, second]
    # Once each stream has a certain sample in a later run, the first run has no unreported gap.
    note_certain(store, "third", {OTHER: End(1, 30)})
    before = begin(store, "fourth", 4)
    assert [previous.run for previous in before] == ["second", "third"]


def test_after_a_power_cut_streams_with_a_certain_sample_are_known(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    begin(store, "second", 2)
    note_certain(store, "second", {BEAT: End(1, 20)})
    assert begin(store, "third", 3) == [
        PreviousRun("first", True, 1, ENDS),
        PreviousRun("second", False, 2, {BEAT: End(1, 20)}),
    ]


def test_after_many_crashes_only_the_first_and_last_runs_are_kept(store: Store) -> None:
    begin(store, "run 0", 0)
    note_certain(store, "run 0", ENDS)
    before: list[PreviousRun] = []
    for number in range(1, 100):
        before = begin(store, f"run {number}", number)
    runs = [previous.run for previous in before]
    assert runs[:2] == ["run 0", "run 1"]
    assert runs[-2:] == ["run 97", "run 98"]
    assert len(runs) < 20
    assert before[0].ends == ENDS


def test_a_new_run_keeps_stored_samples_and_forgets_parked_topics(store: Store) -> None:
    begin(store, "first", 1)
    store.append([entry(1)])
    store.record_outcomes([], {"topic": "denied"})
    begin(store, "second", 2)
    assert [stored.seq for stored in store.oldest(10)] == [1]
    assert select(store.path, "SELECT * FROM parked") == []


def test_a_run_is_known_after_its_file_was_deleted(store: Store) -> None:
    begin(store, "first", 1)
    store.path.unlink()
    store.recreate()
    end_run(store, "first", ENDS)
    assert begin(store, "second", 2) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_is_known_after_its_file_was_set_aside(store: Store) -> None:
    """Its streams still have an end, so the next run can report the gap."""
    begin(store, "first", 1)
    store.start_over(sqlite3.DatabaseError())
    end_run(store, "first", ENDS)
    (previous,) = begin(store, "second", 2)
    assert (previous.run, previous.clean, previous.ends) == ("first", True, ENDS)


# Runs, as the outbox begins and ends them


async def test_the_first_start_has_no_previous_run(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        assert outbox.previous_runs == []


async def test_after_a_clean_stop_the_outbox_knows_where_streams_ended(bench: Bench) -> None:
    first_run = bench.run.id
    async with bench.outbox() as outbox, Service(outbox):
        last = {
            stream: [bench.sample(stream=stream) for _ in range(count)][-1]
            for stream, count in (("beat", 3), ("other", 1))
        }
        for sample in last.values():
            outbox.put(sample)
        outbox.put(bench.run.event(Beat()))
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, True)
        # The gateway's own events are not a stream that could have a gap.
        assert previous.ends == {
            ("strap", stream): End(sample.seq, sample.stamp.wall_ns)
            for stream, sample in last.items()
        }


async def end_uncleanly(bench: Bench) -> End:
    """End a run as kill -9 does, with 5 certain samples and 2 others; return the certain end."""
    outbox = bench.outbox()
    await outbox.__aenter__()
    async with Service(outbox) as service:
        samples = [bench.sample() for _ in range(7)]
        for sample in samples:
            outbox.put(sample)
        for pending in await next_live(outbox, 5):
            outbox.live.acknowledge(pending)
        await service.rounds()
    # As after the death of a process: files are closed, and nothing more is written.
    await outbox._disk.close()  # pyright: ignore[reportPrivateUsage]
    return End(5, samples[5].stamp.wall_ns)


async def test_after_an_unclean_stop_the_run_file_says_where_streams_are_certain(
    bench: Bench,
) -> None:
    first_run = bench.run.id
    certain = await end_uncleanly(bench)
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, False)
        assert previous.ends == {("strap", "beat"): certain}


async def test_without_a_run_file_only_the_first_certain_samples_are_known(tmp_path: Path) -> None:
    """After a power cut the run file is gone, and the disk has only each stream's first end."""
    bench = Bench(tmp_path / "state")
    first_run, began_ns = bench.run.id, bench.run.clock.now().wall_ns
    certain = await end_uncleanly(bench)
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, False)
        assert previous.ends == {("strap", "beat"): certain}
        assert began_ns <= previous.started_ns <= bench.run.clock.now().wall_ns


async def test_a_stream_is_certain_up_to_its_first_uncertain_sample(bench: Bench) -> None:
    """A later sample that is acknowledged does not count: the end is before the first hole."""
    outbox = bench.outbox()
    await outbox.__aenter__()
    async with Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        outbox.put(bench.sample())
        outbox.put(bench.sample())
        _, acked = await next_live(outbox, 2)
        outbox.live.acknowledge(acked)
        await service.rounds()
    await outbox._disk.close()  # pyright: ignore[reportPrivateUsage]
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert previous.ends["strap", "beat"].seq == 1


# The run file


def written(ends: Ends, run: str = "run") -> PreviousRun:
    """Return what is read after a run has written these ends."""
    return PreviousRun(run, False, 7, ends)


def test_the_run_file_is_read_by_the_next_process(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, {})
    run_file.write("run", 7, ENDS)
    assert RunFile(tmp_path, "gateway").read() == written(ENDS)


def test_the_run_file_of_another_gateway_is_ignored(tmp_path: Path) -> None:
    RunFile(tmp_path, "gateway").write("run", 7, ENDS)
    assert RunFile(tmp_path, "other").read() is None


def test_two_gateways_share_a_folder(tmp_path: Path) -> None:
    first, second = RunFile(tmp_path, "one"), RunFile(tmp_path, "two")
    first.write("a", 7, ENDS)
    second.write("b", 7, {BEAT: End(1, 1)})
    assert first.read() == written(ENDS, "a")
    assert second.read() == written({BEAT: End(1, 1)}, "b")


def test_without_a_folder_nothing_is_written() -> None:
    run_file = RunFile(None, "gateway")
    run_file.write("run", 7, ENDS)
    assert run_file.read() is None


def test_unchanged_content_is_not_written_again(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    first = file.stat().st_mtime_ns
    run_file.write("run", 7, dict(ENDS))
    assert file.stat().st_mtime_ns == first
    run_file.write("run", 7, {BEAT: End(18, 18)})
    assert file.stat().st_mtime_ns != first
    assert run_file.read() == written({BEAT: End(18, 18)})


def test_content_of_the_same_length_is_written_in_place(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    first = file.stat().st_ino
    run_file.write("run", 7, {BEAT: End(123_456_789, 18)})
    assert file.stat().st_ino == first
    assert run_file.read() == written({BEAT: End(123_456_789, 18)})


@pytest.mark.parametrize("streams", [20, 200])
def test_content_that_grows_is_replaced_as_a_whole(tmp_path: Path, streams: int) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    for seq in (18, 19):
        ends = {("strap", f"beat-{number}"): End(seq, 18) for number in range(streams)}
        run_file.write("run", 7, ends)
        assert run_file.read() == written(ends)
    run_file.write("run", 7, ENDS)
    assert run_file.read() == written(ENDS)


def test_a_run_file_that_was_deleted_is_written_again(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    file.unlink()
    assert run_file.write("run", 7, {BEAT: End(18, 18)})
    assert run_file.read() == written({BEAT: End(18, 18)})


def test_a_failed_write_keeps_the_old_content_and_the_next_one_succeeds(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    news = {BEAT: End(18, 18)}
    with failing_disk():
        assert not run_file.write("run", 7, news)
        assert run_file.read() == written(ENDS)
    assert run_file.write("run", 7, news)
    assert run_file.read() == written(news)


def test_a_missing_folder_is_not_an_error(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path / "absent", "gateway")
    run_file.write("run", 7, ENDS)
    assert run_file.read() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"17",
        b"null",
        b'"run"',
        b'{"run":"run"}',
        b'{"run":"run","ends":null}',
        b'{"run":"run","ends":[["strap"]]}',
        b'{"run":"run","ends":[17]}',
        b'{"ends":[]}',
        orjson.dumps({"run": "run", "ends": [["strap", "beat", 1, 1]]}),
    ],
)
def test_invalid_content_is_ignored(tmp_path: Path, content: bytes) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert run_file.read() is None


async def test_an_outbox_that_is_removed_between_two_runs_is_reported(bench: Bench) -> None:
    """D27: after a kill -9 nothing else knows that samples were waiting."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
    bench.folder.rename(bench.folder.with_name("moved"))
    first = bench.run.id
    bench.next_run()
    async with bench.outbox() as outbox:
        samples = await waiting_samples(outbox)
        (event,) = [each.measurement.fields() for each in samples if each.stream == "event/outbox"]
    assert event["change"] == "deleted"
    assert first in event["detail"]
    assert "strap/beat up to 1" in event["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[1]",
        b'{"run":"a","started_ns":1e30,"ends":[]}',
        b'{"run":5,"started_ns":1,"ends":[]}',
        b'{"run":"a","started_ns":1,"ends":[["strap","beat",18446744073709551615,1]]}',
        b'{"run":"a","started_ns":1,"ends":[["strap","beat",-1,1]]}',
        b'{"run":"a","started_ns":1,"ends":[["strap","beat",1]]}',
        b'{"run":"a","started_ns":1,"ends":[[1,2,3,4]]}',
        b"[" * 100_000,
    ],
)
async def test_a_run_file_with_any_content_is_not_used(bench: Bench, content: bytes) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
    (file,) = (bench.folder.parent / "runtime").iterdir()
    file.write_bytes(content)
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert previous.clean
