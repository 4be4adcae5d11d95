"""Real brokers and buses for the contract tests."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from tests.contract.bluez import Bus
from tests.contract.mosquitto import Mosquitto


class StartMosquitto(Protocol):
    """What the fixture ``mosquitto`` is."""

    def __call__(self, options: str = ...) -> Awaitable[Mosquitto]: ...


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[StartMosquitto]:
    """Starts a mosquitto with these options; it is ended with the test."""
    numbers = count()
    async with AsyncExitStack() as stack:

        async def start(options: str = "allow_anonymous true") -> Mosquitto:
            folder = tmp_path / f"mosquitto-{next(numbers)}"
            folder.mkdir()
            return await stack.enter_async_context(Mosquitto(folder, options))

        yield start


@pytest.fixture
async def bus(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bus]:
    """A system bus of the test's own."""
    with TemporaryDirectory(prefix="bus-") as folder:
        async with Bus(Path(folder)) as bus:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
            yield bus
