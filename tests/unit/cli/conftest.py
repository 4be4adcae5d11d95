"""A machine for each test, and the process as it was before."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.cli.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with neither radio nor broker."""
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command sends the whole process's log lines to its own standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
