"""A machine for each test, and the log settings restored after each test."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.cli.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without a radio and a broker."""
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what a command changes: it sends all log lines of the process to standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
