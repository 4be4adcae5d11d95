"""A broker, the length of the soak, and the measurements of the delivery tests."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.subscriber import Subscriber

# For the start, the recoveries from faults and the stop, in addition to the soak itself.
_MARGIN_S = 60.0

_MEASURED = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the soak take as long as requested."""
    if (seconds := _soak_seconds(config)) is None:
        return
    for item in items:
        if isinstance(item, pytest.Function) and "soak_seconds" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(seconds + _MARGIN_S))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the measurements, including those of tests that passed."""
    if _MEASURED in config.stash:
        terminalreporter.section("delivery")
        for line in config.stash[_MEASURED]:
            terminalreporter.write_line(line)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    """mosquitto if it is installed, else the broker that comes in a wheel."""
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
async def subscriber(broker: EmbeddedBroker) -> AsyncIterator[Subscriber]:
    async with Subscriber(broker.port) as subscriber:
        yield subscriber


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> dict[str, Any]:
    return {
        "gateway": {"id": "gateway"},
        "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"]},
        "outbox": {"directory": tmp_path, "max_size": "4MB"},
    }


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float | None:
    """``--soak-seconds``, or None for a short run with faster straps."""
    return _soak_seconds(request.config)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the summary of the test run."""
    lines = request.config.stash.setdefault(_MEASURED, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def _soak_seconds(config: pytest.Config) -> float | None:
    seconds: float | None = config.getoption("--soak-seconds")
    return seconds
