"""What one run leaves for the next: a clean end, where streams ended, and notes in memory."""

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
from tests.unit.outbox.bench import QUOTA, entry, failing_disk, look

BEAT, OTHER = ("strap", "beat"), ("scale", "undecoded/2a9d")
ENDS: Ends = {BEAT: End(17, 1_795_485_811_000_000_017), OTHER: End(4, 5)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "outbox.sqlite3", QUOTA)) as store:
        yield store


# Runs


def begin(store: Store, run: str, at: int, noted: PreviousRun | None = None) -> list[PreviousRun]:
    return begin_run(store, run, at, noted)


def test_the_first_run_has_none_before_it(store: Store) -> None:
    assert begin(store, "first", 1) == []


def test_a_clean_end_is_known_with_where_each_stream_ended(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    assert begin(store, "second", 2) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_that_never_ended_was_not_clean_and_nothing_is_certain(store: Store) -> None:
    begin(store, "first", 1)
    assert begin(store, "second", 2) == [PreviousRun("first", False, 1, {})]


def test_a_run_can_only_end_itself(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "another", {})
    (before,) = begin(store, "second", 2)
    assert not before.clean


def test_a_note_says_until_where_streams_are_certain_after_an_unclean_stop(store: Store) -> None:
    begin(store, "first", 1)
    noted = PreviousRun("first", False, 1, ENDS)
    assert begin(store, "second", 2, noted) == [noted]


def test_a_clean_end_knows_more_than_a_note(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    stale = PreviousRun("first", False, 1, {BEAT: End(3, 3)})
    assert begin(store, "second", 2, stale) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_that_the_disk_never_saw_is_known_from_its_note(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    second = PreviousRun("second", False, 2, {})
    assert begin(store, "third", 3, second) == [PreviousRun("first", True, 1, ENDS), second]


def test_what_a_run_left_untold_is_left_to_the_one_after_the_next(store: Store) -> None:
    """The second one stopped before a stream's first sample: it has told nobody of the first."""
    begin(store, "first", 1)
    first = PreviousRun("first", False, 1, {BEAT: End(17, 17), OTHER: End(4, 4)})
    begin(store, "second", 2, first)
    second = PreviousRun("second", False, 2, {BEAT: End(1, 20)})
    assert begin(store, "third", 3, second) == [first, second]
    # Once each stream is certain in a later run, the first one has nothing untold.
    note_certain(store, "third", {OTHER: End(1, 30)})
    before = begin(store, "fourth", 4)
    assert [one.run for one in before] == ["second", "third"]


def test_after_a_power_cut_it_is_known_which_streams_had_been_told(store: Store) -> None:
    begin(store, "first", 1)
    end_run(store, "first", ENDS)
    begin(store, "second", 2)
    note_certain(store, "second", {BEAT: End(1, 20)})
    assert begin(store, "third", 3) == [
        PreviousRun("first", True, 1, ENDS),
        PreviousRun("second", False, 2, {BEAT: End(1, 20)}),
    ]


def test_crashes_without_end_keep_the_first_runs_and_the_last(store: Store) -> None:
    begin(store, "run 0", 0)
    note_certain(store, "run 0", ENDS)
    before: list[PreviousRun] = []
    for number in range(1, 100):
        before = begin(store, f"run {number}", number)
    runs = [one.run for one in before]
    assert runs[:2] == ["run 0", "run 1"]
    assert runs[-2:] == ["run 97", "run 98"]
    assert len(runs) < 20
    assert before[0].ends == ENDS


def test_samples_outlive_their_run_and_parked_topics_do_not(store: Store) -> None:
    begin(store, "first", 1)
    store.append([entry(1)])
    store.record_outcomes([], {"topic": "denied"})
    begin(store, "second", 2)
    assert [one.seq for one in store.oldest(10)] == [1]
    assert look(store.path, "SELECT * FROM parked") == []


def test_what_a_run_knew_survives_that_its_file_is_deleted(store: Store) -> None:
    begin(store, "first", 1)
    store.path.unlink()
    store.recreate()
    end_run(store, "first", ENDS)
    assert begin(store, "second", 2) == [PreviousRun("first", True, 1, ENDS)]


def test_a_run_is_known_after_its_file_was_set_aside(store: Store) -> None:
    """Its streams have an end all the same, and the next run has a gap to tell."""
    begin(store, "first", 1)
    store.start_empty()
    end_run(store, "first", ENDS)
    (previous,) = begin(store, "second", 2)
    assert (previous.run, previous.clean, previous.ends) == ("first", True, ENDS)


# Notes


def noted(ends: Ends, run: str = "run") -> PreviousRun:
    return PreviousRun(run, False, 7, ends)


def test_a_note_is_read_by_the_next_process(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, {})
    run_file.write("run", 7, ENDS)
    assert RunFile(tmp_path, "gateway").read() == noted(ENDS)


def test_a_note_of_another_gateway_is_none(tmp_path: Path) -> None:
    RunFile(tmp_path, "gateway").write("run", 7, ENDS)
    assert RunFile(tmp_path, "neighbour").read() is None


def test_two_gateways_share_a_folder(tmp_path: Path) -> None:
    first, second = RunFile(tmp_path, "one"), RunFile(tmp_path, "two")
    first.write("a", 7, ENDS)
    second.write("b", 7, {BEAT: End(1, 1)})
    assert first.read() == noted(ENDS, "a")
    assert second.read() == noted({BEAT: End(1, 1)}, "b")


def test_without_a_folder_nothing_is_noted() -> None:
    run_file = RunFile(None, "gateway")
    run_file.write("run", 7, ENDS)
    assert run_file.read() is None


def test_only_news_is_written(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    first = file.stat().st_ino
    run_file.write("run", 7, dict(ENDS))
    assert file.stat().st_ino == first
    run_file.write("run", 7, {BEAT: End(18, 18)})
    assert file.stat().st_ino != first
    assert run_file.read() == noted({BEAT: End(18, 18)})


def test_a_note_that_cannot_be_written_leaves_the_last_one_and_comes_later(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    news = {BEAT: End(18, 18)}
    with failing_disk():
        run_file.write("run", 7, news)
        assert run_file.read() == noted(ENDS)
    run_file.write("run", 7, news)
    assert run_file.read() == noted(news)


def test_a_folder_that_does_not_exist_is_no_fault(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path / "absent", "gateway")
    run_file.write("run", 7, ENDS)
    assert run_file.read() is None


@pytest.mark.parametrize(
    "note",
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
def test_a_note_that_nobody_wrote_is_none(tmp_path: Path, note: bytes) -> None:
    run_file = RunFile(tmp_path, "gateway")
    run_file.write("run", 7, ENDS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(note)
    assert run_file.read() is None
