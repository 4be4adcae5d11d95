"""Results that are held back: in a file, until they are published."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.gateway import held_results
from healthd.gateway.held_results import FILE_NAME, HeldResults
from healthd.profiles.blood_pressure import decode_blood_pressure
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.profiles.registry import load
from healthd.samples import Record, Stamp

REGISTRY = load()
NOW = Stamp(1_800_000_000_000_000_000, 50_000_000_000, "synced")
BOUND_S = 20.0


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_results, "_GROUP_S", 0.01)
    monkeypatch.setattr(held_results, "_COMMITTED_S", 0.2)


def result(systolic: int, *, dated: bool = True) -> Timed:
    """Return a finished result that arrived two seconds ago."""
    made = decode_blood_pressure(bytes([0, systolic, 0, 80, 0, 93, 0]))
    record = identity(systolic) if dated else None
    return Timed(made, NOW.mono_ns - 2_000_000_000, record, finished=True)


def identity(systolic: int) -> Record:
    return Record("", 0, f"2025-07-15T15:00:00 None {systolic}")


def rows(folder: Path) -> list[str]:
    """Return the systolic pressures in the file."""
    file = folder / FILE_NAME
    documents: list[Any] = orjson.loads(file.read_bytes()) if file.exists() else []
    return [one["fields"]["systolic_mmhg"] for one in documents]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not is_so():  # noqa: ASYNC110 - a thread writes the file
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(held: HeldResults) -> AsyncGenerator[None]:
    """Run the service until the block ends, as at a kill."""
    task = asyncio.create_task(held.run(lambda: None))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_next_run_reads_what_a_killed_run_held_back(tmp_path: Path) -> None:
    held = HeldResults(tmp_path)
    async with running(held):
        held.note("cuff", [result(123)], Records(), NOW)
        await until(lambda: rows(tmp_path) == [123])
    [found] = HeldResults(tmp_path).read(REGISTRY)
    assert found.peripheral == "cuff"
    assert found.timed.measurement == result(123).measurement
    assert found.timed.record == result(123).record
    assert found.timed.finished
    assert (found.wall_ns, found.clock) == (NOW.wall_ns - 2_000_000_000, "synced")


async def test_a_published_one_stays_until_the_outbox_has_committed_it(tmp_path: Path) -> None:
    held, records = HeldResults(tmp_path), Records()
    async with running(held):
        held.note("cuff", [result(123)], records, NOW)
        await until(lambda: rows(tmp_path) == [123])
        records.results("blood_pressure").add_if_new(identity(123))
        held.note("cuff", [result(124)], records, NOW)
        await until(lambda: rows(tmp_path) == [124, 123])
        await until(lambda: rows(tmp_path) == [124])


@pytest.mark.parametrize("dated", [True, False])
async def test_one_that_was_replaced_is_removed(tmp_path: Path, dated: bool) -> None:
    held = HeldResults(tmp_path)
    async with running(held):
        held.note("cuff", [result(123, dated=dated)], Records(), NOW)
        await until(lambda: rows(tmp_path) == [123])
        held.note("cuff", [result(124)], Records(), NOW)
        await until(lambda: rows(tmp_path) == [124])


async def test_a_clean_stop_leaves_nothing(tmp_path: Path) -> None:
    async with HeldResults(tmp_path) as held:
        async with running(held):
            held.note("cuff", [result(123, dated=False)], Records(), NOW)
            await until(lambda: rows(tmp_path) == [123])
        held.note("cuff", [], Records(), NOW)
    assert rows(tmp_path) == []


async def test_nothing_is_written_without_results(tmp_path: Path) -> None:
    async with HeldResults(tmp_path) as held:
        held.note("cuff", [], Records(), NOW)
    assert not (tmp_path / FILE_NAME).exists()


async def test_a_row_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    held = HeldResults(tmp_path)
    async with running(held):
        held.note("cuff", [result(123), result(124)], Records(), NOW)
        await until(lambda: rows(tmp_path) == [123, 124])
    file = tmp_path / FILE_NAME
    documents = orjson.loads(file.read_bytes())
    documents[0]["fields"] = {"systolic_mmhg": "high"}
    damaged: dict[str, Any] = {**documents[1], "record": ["", "one", ""]}
    file.write_bytes(orjson.dumps([*documents, damaged, {"kind": "unknown"}, 7]))
    with capture_logs() as logs:
        found = HeldResults(tmp_path).read(REGISTRY)
    assert [one.timed.measurement for one in found] == [result(124).measurement]
    assert [one["event"] for one in logs] == ["held result not readable"] * 4


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"null"])
async def test_a_file_that_is_not_a_list_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert HeldResults(tmp_path).read(REGISTRY) == []


async def test_of_many_published_ones_only_the_newest_stay(tmp_path: Path) -> None:
    held, records = HeldResults(tmp_path), Records()
    held.note("cuff", [result(0)], records, NOW)
    for _ in range(10):
        for number in range(1, 251):
            records.results("blood_pressure").add_if_new(identity(number - 1))
            held.note("cuff", [result(number)], records, NOW)
    async with running(held):
        await until(lambda: len(rows(tmp_path)) > 0)
        assert len(rows(tmp_path)) == 1 + 256
        assert rows(tmp_path)[0] == 250
