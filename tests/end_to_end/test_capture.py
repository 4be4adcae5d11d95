"""``healthd capture`` on simulated devices: the file holds what the devices sent."""

import asyncio
import random
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.traffic.lines import (
    Advertised,
    Connected,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)
from tests.end_to_end.capture_rig import SentValues, capturing
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(180)


def made(model: str, sent: SentValues, period: float) -> VirtualPeripheral:
    rng = random.Random(1)
    return CATALOGUE[model].make(address(1), rng, period=period, record=sent.record)


def values(found: Iterable[Line]) -> dict[str, list[bytes]]:
    """Return the notified values, by characteristic."""
    by_uuid: dict[str, list[bytes]] = defaultdict(list)
    for line in found:
        if isinstance(line, Notified):
            assert line.uuid is not None
            by_uuid[line.uuid].append(line.value)
    return by_uuid


@pytest.mark.parametrize("model", ["heart_rate", "fitness_machine", "treadmill", "glucose"])
async def test_a_capture_holds_what_the_device_sent(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, model: str
) -> None:
    sent = SentValues()
    entries = [{"id": "device", "address": address(1), **CATALOGUE[model].settings}]
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    async with gateway(subscriber, settings, entries, environ) as air:
        async with capturing(tmp_path, settings, entries, "device", "--keep-identity") as command:
            await add(air, device := made(model, sent, 0.2))
            await command.until(lambda found: any(isinstance(line, Notified) for line in found))
            await command.until(lambda found: sum(map(len, values(found).values())) >= 5)
            await device.vanish()
            await command.until(lambda found: any(isinstance(each, Disconnected) for each in found))
            found = await command.end()
    start, *rest = found
    assert isinstance(start, Start)
    print([line.model_dump_json()[:300] for line in found[:60]])
    assert values(found) == sent.by_uuid
