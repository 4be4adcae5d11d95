"""Makes the guests' sessions out of the chosen tests, and prints what they measured."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.report import table
from tests.system.session import Sessions

_KEPT = Path(__file__).parents[2] / "build/system-test"
_SESSIONS = pytest.StashKey[Sessions]()


@pytest.fixture(scope="session")
def sessions(request: pytest.FixtureRequest) -> Iterator[Sessions]:
    plans: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            plans.setdefault(item.callspec.params["guest"], []).append(item.callspec.params["case"])
    made = Sessions(plans, _KEPT)
    request.config.stash[_SESSIONS] = made
    yield made
    made.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    made = config.stash.get(_SESSIONS, None)
    if made is not None:
        terminalreporter.section("system tests")
        for line in (*table(made.outcomes), *made.notes):
            terminalreporter.write_line(line)
