"""Kill the gateway while a meter sends records: each is delivered, and always with the same id."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.chaos.gateway import RECORDS, meter_memory
from tests.chaos.process import GatewayProcess
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(120)

KILLS = 4
BOUND_S = 30.0
TOPIC = "healthd/gateway/device/meter/glucose"

_SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["127.0.0.1:{port}"]
[outbox]
directory = "{folder}"
max_size = "4MB"
write = "{write}"
[[peripherals]]
id = "meter"
address = "C0:5E:5E:00:00:01"
every = "1h"
"""


def ids(subscriber: Subscriber) -> dict[int, set[str]]:
    """Return the ids with which each record was delivered, by the record's number."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for message in subscriber.messages:
        if message.topic in (TOPIC, f"{TOPIC}/history"):
            sample = message.json()
            found[sample["sequence_number"]].add(sample["id"])
    return found


async def _until(subscriber: Subscriber, records: int) -> None:
    await subscriber.until(lambda _: len(ids(subscriber)) >= records, BOUND_S)


@pytest.mark.parametrize("write", ["around", "through"])
async def test_kill_during_a_transfer(tmp_path: Path, write: str) -> None:
    rng, config = random.Random(write), tmp_path / "healthd.toml"
    runtime = {"RUNTIME_DIRECTORY": str(tmp_path), "BOOT_ID": "boot-1"}
    arguments = ["--config", str(config), "--accepted", str(tmp_path / "accepted")]
    gateway = GatewayProcess(arguments, runtime)
    async with EmbeddedBroker() as broker, Subscriber(broker.port) as subscriber:
        config.write_text(
            _SETTINGS.format(port=broker.port, folder=tmp_path / "outbox", write=write)
        )
        try:
            for kill in range(KILLS):
                await gateway.start()
                # At a random point of this process's share of the records.
                share = RECORDS // (KILLS + 1)
                reached = kill * share + rng.randrange(1, share)
                await _until(subscriber, reached)
                await gateway.kill()
                assert len(ids(subscriber)) < RECORDS, "the transfer ended before the kill"
            await gateway.start()
            await _until(subscriber, RECORDS)
            await gateway.logged("fetched", since=gateway.started_at, outcome="new_data")
            await gateway.stop()
        finally:
            if gateway.is_running:
                await gateway.kill(may_have_ended=True)
        found = ids(subscriber)
    assert sorted(found) == [record.key for record in meter_memory().records]
    assert {number: values for number, values in found.items() if len(values) > 1} == {}
