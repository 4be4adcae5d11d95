"""A virtual radio environment for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthd.profiles import registry
from healthd.simulator.air import Air
from tests.support.stage import Stage


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Provide a virtual radio environment; after the test none of its tasks may still run."""
    # The shortest interval that Bluetooth allows: the tests mostly wait for advertisements.
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    async with Air() as air:
        yield Stage(air, registry.load())
    assert asyncio.all_tasks() == {asyncio.current_task()}
