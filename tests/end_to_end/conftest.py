"""The soak's length, and what the delivery tests have measured."""

from collections.abc import Callable

import pytest

# Start, faults' recoveries and stop beside the soak itself.
_MARGIN_S = 60.0

_MEASURED = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the soak take as long as it was told to."""
    if (seconds := _soak_seconds(config)) is None:
        return
    for item in items:
        if isinstance(item, pytest.Function) and "soak_seconds" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(seconds + _MARGIN_S))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what was measured, also of tests that passed."""
    if _MEASURED in config.stash:
        terminalreporter.section("delivery")
        for line in config.stash[_MEASURED]:
            terminalreporter.write_line(line)


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float | None:
    """``--soak-seconds``, or None for a short run with faster straps."""
    return _soak_seconds(request.config)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Puts a line into the summary of the test run."""
    lines = request.config.stash.setdefault(_MEASURED, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def _soak_seconds(config: pytest.Config) -> float | None:
    seconds: float | None = config.getoption("--soak-seconds")
    return seconds
