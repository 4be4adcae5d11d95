"""The table of what each cluster did."""

from collections.abc import Iterator

import pytest

from tests.clusters.rig import Figures

_FIGURES = pytest.StashKey[list[Figures]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[Figures]:
    """Rows for the table at the end of the test run."""
    return request.config.stash.setdefault(_FIGURES, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _FIGURES in config.stash:
        terminalreporter.section("clusters")
        for line in _table(config.stash[_FIGURES]):
            terminalreporter.write_line(line)


def _table(rows: list[Figures]) -> Iterator[str]:
    """Generate the lines of a table in Markdown, as in docs/brokers.md."""
    heads = [name.replace("_", " ") for name in Figures._fields]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
