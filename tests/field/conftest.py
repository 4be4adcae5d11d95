"""A broker, a subscriber and settings for each test of a device."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.field.rig import Field
from tests.support.subscriber import Subscriber


@pytest.fixture
async def field(tmp_path: Path) -> AsyncIterator[Field]:
    """Provide everything around the device."""
    async with EmbeddedBroker() as broker, Subscriber(broker.port) as subscriber:
        settings = {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"]},
            "outbox": {"directory": tmp_path, "max_size": "4MB"},
        }
        yield Field(broker.port, subscriber, settings)
