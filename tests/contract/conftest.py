"""Real brokers and buses for the contract tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.bluez import Bus
from tests.support.mosquitto import Mosquitto, StartMosquitto


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
