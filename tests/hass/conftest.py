"""Starts of all programs that several tests look at, and the table of what was checked."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.hass.home_assistant import why_unusable
from tests.hass.starts import STARTS, Figures, Start, figures, start
from tests.support.mosquitto import MOSQUITTO

_FIGURES = pytest.StashKey[list[Figures]]()


@pytest.fixture(scope="session")
def usable() -> None:
    """Skip the tests if Home Assistant or mosquitto is missing."""
    why = why_unusable() or (
        "no mosquitto on this machine; apt-get install mosquitto" if MOSQUITTO is None else None
    )
    if why is not None:
        pytest.skip(f"NOT TESTED: {why}")


@pytest.fixture(scope="session")
def starts(
    usable: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Start]:
    """Start everything several times, each time from nothing."""
    found: list[Start] = []
    rows = request.config.stash.setdefault(_FIGURES, [])
    for number, first in enumerate(STARTS, start=1):
        folder = tmp_path_factory.mktemp(f"start-{number}")
        found.append(asyncio.run(start(folder, number, first)))
        rows.append(figures(f"{number}: {first} first", found[-1], found[0]))
    return found


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    if _FIGURES in config.stash:
        terminalreporter.section("Home Assistant")
        for line in _table(config.stash[_FIGURES]):
            terminalreporter.write_line(line)


def _table(rows: list[Figures]) -> Iterator[str]:
    heads = [name.replace("_", " ") for name in Figures._fields]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
