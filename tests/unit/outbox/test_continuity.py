"""What one run leaves for the next: a clean end, where streams ended, and notes in memory."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from healthd.outbox.continuity import End, Ends, Notebook, Previous, begin_run, end_run
from healthd.outbox.store import Store
from tests.unit.outbox.bench import QUOTA, entry, failing_disk, look

BEAT, OTHER = ("strap", "beat"), ("scale", "undecoded/2a9d")
ENDS: Ends = {BEAT: End(17, 1_795_485_811_000_000_017), OTHER: End(0, 5)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "outbox.sqlite3", QUOTA)) as store:
        yield store


# Runs


def test_the_first_run_has_none_before_it(store: Store) -> None:
    assert begin_run(store, "first", 1) is None


def test_a_clean_end_is_known_with_where_each_stream_ended(store: Store) -> None:
    begin_run(store, "first", 1)
    end_run(store, "first", ENDS)
    assert begin_run(store, "second", 2) == Previous("first", True, 1, ENDS)


def test_a_run_that_never_ended_was_not_clean_and_nothing_is_certain(store: Store) -> None:
    begin_run(store, "first", 1)
    end_run(store, "first", ENDS)
    begin_run(store, "second", 2)
    # What the run before the last one said is not taken for the last one's.
    assert begin_run(store, "third", 3) == Previous("second", False, 2, {})


def test_a_run_can_only_end_itself(store: Store) -> None:
    begin_run(store, "first", 1)
    end_run(store, "another", {})
    previous = begin_run(store, "second", 2)
    assert previous is not None
    assert not previous.clean


def test_samples_outlive_their_run_and_parked_topics_do_not(store: Store) -> None:
    begin_run(store, "first", 1)
    store.append([entry(1)])
    store.tidy([], {"topic": "denied"})
    begin_run(store, "second", 2)
    assert [one.seq for one in store.oldest(10)] == [1]
    assert look(store.path, "SELECT * FROM parked") == []


def test_what_a_run_knew_survives_that_its_file_is_deleted(store: Store) -> None:
    begin_run(store, "first", 1)
    store.path.unlink()
    store.restore()
    end_run(store, "first", ENDS)
    assert begin_run(store, "second", 2) == Previous("first", True, 1, ENDS)


def test_a_run_is_known_after_its_file_was_set_aside(store: Store) -> None:
    """Its streams have an end all the same, and the next run has a gap to tell."""
    begin_run(store, "first", 1)
    store.start_anew()
    end_run(store, "first", ENDS)
    previous = begin_run(store, "second", 2)
    assert previous is not None
    assert (previous.run, previous.clean, previous.ends) == ("first", True, ENDS)


# Notes


def test_a_note_is_read_by_the_next_process(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path, "gateway")
    notebook.note("run", {})
    notebook.note("run", ENDS)
    assert Notebook(tmp_path, "gateway").read("run") == ENDS


def test_a_note_of_another_run_or_gateway_is_none(tmp_path: Path) -> None:
    Notebook(tmp_path, "gateway").note("run", ENDS)
    assert Notebook(tmp_path, "gateway").read("another") == {}
    assert Notebook(tmp_path, "neighbour").read("run") == {}


def test_two_gateways_share_a_folder(tmp_path: Path) -> None:
    first, second = Notebook(tmp_path, "one"), Notebook(tmp_path, "two")
    first.note("a", ENDS)
    second.note("b", {BEAT: End(1, 1)})
    assert first.read("a") == ENDS
    assert second.read("b") == {BEAT: End(1, 1)}


def test_without_a_folder_nothing_is_noted() -> None:
    notebook = Notebook(None, "gateway")
    notebook.note("run", ENDS)
    assert notebook.read("run") == {}


def test_only_news_is_written(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path, "gateway")
    notebook.note("run", ENDS)
    (file,) = tmp_path.iterdir()
    first = file.stat().st_ino
    notebook.note("run", dict(ENDS))
    assert file.stat().st_ino == first
    notebook.note("run", {BEAT: End(18, 18)})
    assert file.stat().st_ino != first
    assert notebook.read("run") == {BEAT: End(18, 18)}


def test_a_note_that_cannot_be_written_leaves_the_last_one_and_comes_later(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path, "gateway")
    notebook.note("run", ENDS)
    news = {BEAT: End(18, 18)}
    with failing_disk():
        notebook.note("run", news)
        assert notebook.read("run") == ENDS
    notebook.note("run", news)
    assert notebook.read("run") == news


def test_a_folder_that_does_not_exist_is_no_fault(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "absent", "gateway")
    notebook.note("run", ENDS)
    assert notebook.read("run") == {}


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
        orjson.dumps({"run": "another", "ends": [["strap", "beat", 1, 1]]}),
    ],
)
def test_a_note_that_nobody_wrote_is_none(tmp_path: Path, note: bytes) -> None:
    notebook = Notebook(tmp_path, "gateway")
    notebook.note("run", ENDS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(note)
    assert notebook.read("run") == {}
