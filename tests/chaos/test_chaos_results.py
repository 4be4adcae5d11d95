"""Kill the gateway while, or just after, it holds a result: it is published once."""

import asyncio
import json
from pathlib import Path

import pytest

from healthd.simulator.broadcasting.scales import mi_body_scale_frame, weighing
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.health.clock import DeviceClock
from tests.chaos.process import GatewayProcess
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(120)

BOUND_S = 30.0
TOPIC = "healthd/gateway/device/cuff/blood_pressure"
# 2025-07-15 15:00 with 123/80, then 2025-07-13 09:00 with 125/80.
MEMORY = ("067b0050000000e907070f0f00004600", "067d0050000000e907070d0900004600")

_SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["127.0.0.1:{port}"]
[outbox]
directory = "{folder}"
max_size = "4MB"
[[peripherals]]
id = "cuff"
address = "C0:5E:5E:00:00:01"
every = "1h"
"""


def systolic(subscriber: Subscriber, *topics: str) -> list[float]:
    """Return the pressures of the distinct samples at these topics, ascending."""
    samples = [message.json() for topic in topics for message in subscriber.at(topic)]
    return sorted({one["id"]: one["systolic_mmhg"] for one in samples}.values())


async def until_held(file: Path, text: bytes) -> None:
    async with asyncio.timeout(BOUND_S):
        while not file.exists() or text not in file.read_bytes():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)


async def test_kill_right_after_a_result_without_a_time_is_published(tmp_path: Path) -> None:
    """It cannot be recognised by its time; it is published once nevertheless."""
    config = tmp_path / "healthd.toml"

    def process(*packets: str) -> GatewayProcess:
        arguments = ["--config", str(config), "--quiet", "0.5", "--packets", *packets]
        runtime = {"RUNTIME_DIRECTORY": str(tmp_path), "BOOT_ID": "boot-1"}
        return GatewayProcess(arguments, runtime, "tests.chaos.cuff")

    async with EmbeddedBroker() as broker, Subscriber(broker.port) as subscriber:
        config.write_text(_SETTINGS.format(port=broker.port, folder=tmp_path / "outbox"))
        gateway = process("007b0050005e00")  # 123/80, mean 94
        try:
            await gateway.start()
            await subscriber.until(lambda _: systolic(subscriber, TOPIC), BOUND_S)
            await gateway.kill()
            gateway = process()
            await gateway.start()
            # What the killed run held back is published before that.
            await gateway.logged("connected", since=gateway.started_at)
            await gateway.stop()
        finally:
            if gateway.is_running:
                await gateway.kill(may_have_ended=True)
        assert systolic(subscriber, TOPIC, f"{TOPIC}/history") == [123]


async def test_kill_while_a_result_is_held_back(tmp_path: Path) -> None:
    config, held = tmp_path / "healthd.toml", tmp_path / "outbox" / "held.json"

    def process(quiet_s: float, *packets: str) -> GatewayProcess:
        arguments = ["--config", str(config), "--quiet", str(quiet_s), "--packets", *packets]
        runtime = {"RUNTIME_DIRECTORY": str(tmp_path), "BOOT_ID": "boot-1"}
        return GatewayProcess(arguments, runtime, "tests.chaos.cuff")

    async with EmbeddedBroker() as broker, Subscriber(broker.port) as subscriber:
        config.write_text(_SETTINGS.format(port=broker.port, folder=tmp_path / "outbox"))
        gateway = process(60.0, *MEMORY)
        try:
            await gateway.start()
            await subscriber.until(lambda _: systolic(subscriber, f"{TOPIC}/history"), BOUND_S)
            await until_held(held, b"123")
            await gateway.kill()
            assert systolic(subscriber, TOPIC) == []
            gateway = process(60.0)
            await gateway.start()
            await subscriber.until(lambda _: systolic(subscriber, TOPIC), BOUND_S)
            await gateway.kill()
            gateway = process(0.5, *MEMORY)
            await gateway.start()
            await gateway.logged("fetched", since=gateway.started_at, outcome="no_data")
            await gateway.stop()
        finally:
            if gateway.is_running:
                await gateway.kill(may_have_ended=True)
        assert systolic(subscriber, TOPIC) == [123]
        # The broker's last acknowledgements may have been lost with a kill.
        assert systolic(subscriber, TOPIC, f"{TOPIC}/history") == [123, 125]
    assert json.loads(held.read_bytes()) == []


async def test_kill_while_an_advertised_weight_waits_for_its_impedance(tmp_path: Path) -> None:
    config, held = tmp_path / "healthd.toml", tmp_path / "outbox" / "held.json"
    readings = list(weighing(DeviceClock().now, 70.0, 500))
    # All of the weighing up to the impedance, which takes a scale some seconds.
    shown = [reading for reading in readings if not reading.impedance_ohm]
    frames = [mi_body_scale_frame(reading)["service_data_181b"].hex() for reading in shown]

    def process(*values: str) -> GatewayProcess:
        arguments = ["--config", str(config), "--frames", *values]
        runtime = {"RUNTIME_DIRECTORY": str(tmp_path), "BOOT_ID": "boot-1"}
        return GatewayProcess(arguments, runtime, "tests.chaos.scale")

    topic = "healthd/gateway/device/scale/body_composition"
    async with EmbeddedBroker() as broker, Subscriber(broker.port) as subscriber:
        settings = _SETTINGS.replace('"cuff"', '"scale"').replace('every = "1h"', "connect = false")
        config.write_text(settings.format(port=broker.port, folder=tmp_path / "outbox"))
        gateway = process(*frames)
        try:
            await gateway.start()
            await until_held(held, b"70")
            await gateway.kill()
            assert subscriber.at(topic) == []
            gateway = process()
            await gateway.start()
            await subscriber.until(lambda _: subscriber.at(topic), BOUND_S)
            await gateway.kill()
            # The scale goes on showing it.
            gateway = process(frames[-1])
            await gateway.start()
            await gateway.logged("state", since=gateway.started_at, state="streaming")
            await gateway.stop()
        finally:
            if gateway.is_running:
                await gateway.kill(may_have_ended=True)
        found = [*subscriber.at(topic), *subscriber.at(f"{topic}/history")]
        samples = {message.json()["id"]: message.json()["weight_kg"] for message in found}
        assert list(samples.values()) == [70.0]
