"""The real process while bluetoothd and D-Bus are killed, as seen by a subscriber."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.conformity import conform
from tests.support.process import Healthd, complaints
from tests.support.subscriber import Received, Subscriber

pytestmark = needs_dbus

SAMPLES = "healthd/gateway/device/strap/heart_rate"
INFO = "healthd/gateway/device/strap/info"
GATEWAY = "healthd/gateway/info"
ADAPTER, LINK = "healthd/gateway/event/adapter", "healthd/gateway/event/link"

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["{broker}"]
[outbox]
directory = "{folder}/outbox"
max_size = "16MB"
[[peripherals]]
id = "strap"
address = "C0:00:00:00:00:01"
"""


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """Provide a private system bus."""
    with TemporaryDirectory(prefix="bus-") as folder:
        async with Bus(Path(folder)) as bus:
            yield bus


@dataclass
class Surroundings:
    """A bluetoothd with a strap, a broker, and how healthd is run with them."""

    bluez: BlueZ
    subscriber: Subscriber
    environ: dict[str, str]
    config: Path

    def healthd(self) -> Healthd:
        return Healthd("run", "--config", str(self.config), environ=self.environ)


@pytest.fixture
async def around(bus: Bus, tmp_path: Path) -> AsyncIterator[Surroundings]:
    """Provide everything except healthd itself."""
    config = tmp_path / "healthd.toml"
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with EmbeddedBroker() as broker, BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        address = f"{broker.host}:{broker.port}"
        config.write_text(SETTINGS.format(broker=address, folder=tmp_path))
        async with Subscriber(broker.port) as subscriber:
            yield Surroundings(bluez, subscriber, environ, config)


async def more_samples(subscriber: Subscriber, number: int = 5) -> None:
    """Wait for new samples."""
    since = len(subscriber.at(SAMPLES))

    def enough(messages: list[Received]) -> bool:
        return sum(message.topic == SAMPLES for message in messages) >= since + number

    await subscriber.until(enough)


def changes(subscriber: Subscriber, topic: str) -> list[tuple[str, str | None]]:
    """Return the events of a topic: the change, and the reason or the adapter."""
    events = [message.json() for message in subscriber.at(topic)]
    return [(event["change"], event.get("reason", event.get("adapter"))) for event in events]


async def test_bluetoothd_is_killed(around: Surroundings) -> None:
    bluez, subscriber = around.bluez, around.subscriber
    async with around.healthd() as healthd:
        await more_samples(subscriber)
        assert subscriber.at(INFO)[-1].json()["bonded"] is False
        await bluez.kill()
        await healthd.logged("adapter", change="bluez_gone")
        await bluez.start()
        await more_samples(subscriber)
        await bluez.do("power", adapter="hci0", on=False)
        await healthd.logged("adapter", change="off", adapter="hci0")
        await bluez.do("power", adapter="hci0", on=True)
        await more_samples(subscriber)
        assert await healthd.stopped() == 0
        await subscriber.until(lambda _: len(changes(subscriber, LINK)) == 6)
    assert conform(subscriber.messages) >= {"event_adapter", "event_link", "event_gap"}
    # The info lists the existing adapters, including one that is off.
    adapters = [message.json()["adapters"] for message in subscriber.at(GATEWAY)]
    assert adapters[-3:] == [["hci0"], [], ["hci0"]]
    assert changes(subscriber, LINK) == [
        ("up", None),
        ("down", "bluez_gone"),
        ("up", None),
        ("down", "adapter_off"),
        ("up", None),
        ("down", "stopped"),
    ]
    assert changes(subscriber, ADAPTER) == [
        ("on", "hci0"),
        ("bluez_gone", ""),
        ("bluez_back", ""),
        ("on", "hci0"),
        ("off", "hci0"),
        ("on", "hci0"),
    ]
    assert complaints(healthd.log) == []


async def test_the_next_run_ends_the_link_of_a_killed_one(around: Surroundings) -> None:
    bluez, subscriber = around.bluez, around.subscriber
    async with around.healthd() as healthd:
        await more_samples(subscriber)
        healthd.send_kill()
        await healthd.ended()
    assert bluez.count("Disconnect") == 0, "BlueZ keeps the link of a killed process"
    async with around.healthd() as again:
        await again.logged("adapter", change="orphan")
        await more_samples(subscriber)
        assert await again.stopped() == 0
    assert complaints(again.log) == []


async def test_dbus_is_killed(bus: Bus, around: Surroundings) -> None:
    bluez, subscriber = around.bluez, around.subscriber
    async with around.healthd() as healthd:
        await more_samples(subscriber)
        await bus.kill()
        await healthd.logged("adapter", change="dbus_lost")
        await bluez.kill()
        await bus.start()
        await bluez.start()
        await more_samples(subscriber)
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []


async def test_lost_links_do_not_leak_files(around: Surroundings) -> None:
    def open_files(healthd: Healthd) -> int:
        return sum(1 for _ in Path(f"/proc/{healthd.pid}/fd").iterdir())

    bluez, subscriber = around.bluez, around.subscriber
    async with around.healthd() as healthd:
        await more_samples(subscriber)
        before = open_files(healthd)
        # After such short links the pauses grow: the sixth link could take 16 s.
        for _ in range(5):
            await bluez.do("unlink", address="C0:00:00:00:00:01")
            await more_samples(subscriber, 8)
        assert open_files(healthd) <= before + 2
        assert await healthd.stopped() == 0


async def test_stop_without_bluetoothd_is_clean(bus: Bus, tmp_path: Path) -> None:
    config = tmp_path / "healthd.toml"
    config.write_text(SETTINGS.format(broker="127.0.0.1:1", folder=tmp_path))
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with Healthd("run", "--config", str(config), environ=environ) as healthd:
        await healthd.logged("adapter", change="bluez_gone", detail="bluetoothd is not running")
        async with asyncio.timeout(20):
            assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []
