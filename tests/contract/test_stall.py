"""healthd stands still for a while: it judges its peers only by what they had sent by then."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gate import Gate
from tests.support.process import Healthd, complaints
from tests.support.subscriber import Received, Subscriber

pytestmark = needs_dbus

SAMPLES = "healthd/gateway/device/strap/heart_rate"
HEALTH = "healthd/gateway/health"
LINK = "healthd/gateway/event/link"

SILENCE_S = 2.0
STALL_S = SILENCE_S + 1.0

# How long healthd waits for the broker's acknowledgement.
ACKNOWLEDGED_WITHIN_S = 10.0

# How long the connection may be quiet before healthd sends a ping, and waits for its answer.
KEEPALIVE_S = 10.0

SETTINGS = f"""
gateway.id = "gateway"
mqtt.brokers = ["{{broker}}"]
[outbox]
directory = "{{folder}}/outbox"
max_size = "16MB"
[[peripherals]]
id = "strap"
address = "C0:00:00:00:00:01"
silence = "{SILENCE_S:.0f}s"
"""


async def more_samples(subscriber: Subscriber, number: int = 5) -> None:
    """Wait for new samples."""
    since = len(subscriber.at(SAMPLES))

    def enough(messages: list[Received]) -> bool:
        return sum(message.topic == SAMPLES for message in messages) >= since + number

    await subscriber.until(enough)


async def stopped(pid: int) -> None:
    """Wait until a process is stopped."""
    status = Path(f"/proc/{pid}/status")
    while "T (stopped)" not in await asyncio.to_thread(status.read_text):
        pass


@dataclass
class Surroundings:
    """A bluetoothd with a strap, and a running healthd."""

    bluez: BlueZ
    subscriber: Subscriber
    healthd: Healthd

    async def stall(self) -> None:
        """Stop healthd for longer than a stream may be silent."""
        self.healthd.send(signal.SIGSTOP)
        await stopped(self.healthd.pid)
        before = len(self.subscriber.at(SAMPLES))
        await asyncio.sleep(STALL_S)
        assert len(self.subscriber.at(SAMPLES)) <= before + 1, "healthd was not stopped"
        self.healthd.send(signal.SIGCONT)


@pytest.fixture
async def around(bus: Bus, tmp_path: Path) -> AsyncIterator[Surroundings]:
    config = tmp_path / "healthd.toml"
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    async with EmbeddedBroker() as broker, BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        config.write_text(SETTINGS.format(broker=f"{broker.host}:{broker.port}", folder=tmp_path))
        async with (
            Subscriber(broker.port) as subscriber,
            Healthd("run", "--config", str(config), environ=environ) as healthd,
        ):
            await more_samples(subscriber)
            yield Surroundings(bluez, subscriber, healthd)
            assert await healthd.stopped() == 0
            assert complaints(healthd.log) == []


async def test_a_stall_ends_no_healthy_link(around: Surroundings) -> None:
    for _ in range(2):
        await around.stall()
        # What had waited in D-Bus for it, and what followed.
        await more_samples(around.subscriber, 80)
    changes = [message.json()["change"] for message in around.subscriber.at(LINK)]
    assert changes == ["up"]


async def test_a_stream_that_fell_silent_in_a_stall_is_noticed(around: Surroundings) -> None:
    await around.bluez.do("mute", on=True)
    await around.stall()
    await around.healthd.logged("retrying", reason="stalled")
    await around.bluez.do("mute", on=False)
    await more_samples(around.subscriber)


async def test_a_stall_ends_no_healthy_connection_to_the_broker(tmp_path: Path) -> None:
    config = tmp_path / "healthd.toml"
    async with EmbeddedBroker() as broker, Gate(broker.port) as gate:
        await gate.open()
        config.write_text(SETTINGS.format(broker=gate.address, folder=tmp_path))
        async with (
            Subscriber(broker.port) as subscriber,
            Healthd("demo", "--config", str(config)) as healthd,
        ):
            await more_samples(subscriber)
            # A publish is on its way, and its acknowledgement arrives while healthd stands still.
            gate.hold(answers_alone=True)
            await more_samples(subscriber, 1)
            healthd.send(signal.SIGSTOP)
            await stopped(healthd.pid)
            gate.release()
            await asyncio.sleep(ACKNOWLEDGED_WITHIN_S + 1.0)
            healthd.send(signal.SIGCONT)
            await more_samples(subscriber)
            assert await healthd.stopped() == 0
    assert [line["event"] for line in healthd.log].count("connected") == 1
    assert not any(line.get("service") == "mqtt" for line in healthd.log if "reason" in line)


async def test_a_stall_while_a_ping_is_answered_ends_no_connection(tmp_path: Path) -> None:
    config = tmp_path / "healthd.toml"
    async with EmbeddedBroker() as broker, Gate(broker.port) as gate:
        await gate.open()
        # Without a radio: there is nothing to send but pings.
        config.write_text(SETTINGS.format(broker=gate.address, folder=tmp_path))
        environ = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/no-bus"}
        async with (
            Subscriber(broker.port) as subscriber,
            Healthd("run", "--config", str(config), environ=environ) as healthd,
        ):
            await subscriber.until(lambda _: subscriber.at(HEALTH))
            await asyncio.sleep(1.0)  # everything is acknowledged
            gate.hold(answers_alone=True)
            await asyncio.sleep(KEEPALIVE_S + 2.0)
            healthd.send(signal.SIGSTOP)
            await stopped(healthd.pid)
            gate.release()
            await asyncio.sleep(KEEPALIVE_S + 1.0)
            healthd.send(signal.SIGCONT)
            await asyncio.sleep(3.0)
            assert await healthd.stopped() == 0
    assert [line["event"] for line in healthd.log].count("connected") == 1
