"""An air for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthd.simulator.air import Air
from tests.unit.simulator.bench import Bench, Inbox


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A powered air; afterwards nothing of it may still run."""
    # The shortest interval that Bluetooth allows, because the tests mostly wait for advertisements.
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    async with Air() as air:
        yield Bench(air)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def inbox() -> Inbox:
    """Where notifications arrive."""
    return Inbox()
