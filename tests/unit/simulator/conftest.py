"""Fixtures: a virtual radio for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthd.simulator.air import Air
from tests.unit.simulator.bench import Bench, Inbox


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Provide a powered radio, and check afterwards that no task is left over."""
    # The shortest interval that Bluetooth allows: the tests mostly wait for advertisements.
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    async with Air() as air:
        yield Bench(air)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def inbox() -> Inbox:
    """Provide a queue for received notifications."""
    return Inbox()
