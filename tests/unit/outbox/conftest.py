"""A bench for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.outbox.bench import Bench


@pytest.fixture(autouse=True)
def log() -> Iterator[list[EventDict]]:
    """What was logged; kept in memory, because some tests take the right to write files away."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of the outbox's service follow each other at once; what they do stays the same."""
    monkeypatch.setattr("healthd.outbox.outbox._TICK_S", 0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A gateway that has never run, with a memory-backed folder for its notes."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    return Bench(tmp_path / "state", runtime=runtime)
