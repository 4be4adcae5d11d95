"""Fixtures: a bench for each test, the path of a store, and a log in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from healthd.errors import Backoff
from tests.unit.outbox.bench import SPILL_AFTER_S, Bench


@pytest.fixture(autouse=True)
def log() -> Iterator[list[EventDict]]:
    """The log lines, kept in memory because some tests make all writes to files fail."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rounds of the outbox's service follow each other quickly, without other changes."""
    monkeypatch.setattr("healthd.outbox.outbox._TICK_S", 0.01)
    monkeypatch.setattr("healthd.outbox.outbox._LOOK_S", 0.0)
    monkeypatch.setattr("healthd.outbox.backlog.START_PAUSE_S", 0.0)
    monkeypatch.setattr("healthd.outbox.losses.INTERVALS", Backoff(first_s=0.0, ceiling_s=0.0))


@pytest.fixture(autouse=True)
def slow_ageing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make samples old only if they are stamped as old, however busy the machine is."""
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", SPILL_AFTER_S)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A gateway that has never run, with a folder for its run file."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    return Bench(tmp_path / "state", runtime=runtime)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a store; its folder does not exist yet."""
    return tmp_path / "state" / "outbox.sqlite3"
