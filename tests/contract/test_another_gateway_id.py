"""What a gateway has retained under another id or prefix is cleared, or named."""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.gateway.broker_side import BrokerSide
from healthd.host.clock import Clock
from healthd.mqtt.payloads import GatewayInfo
from healthd.outbox.continuity import RunFile
from healthd.outbox.outbox import Outbox
from healthd.profiles import registry
from healthd.runs import Run
from healthd.settings.model import Settings
from tests.support.mosquitto import HOST, Mosquitto, StartMosquitto, needs_mosquitto
from tests.support.publishing import BOUND_S, end_task
from tests.support.subscriber import Subscriber

pytestmark = needs_mosquitto


@pytest.fixture(autouse=True)
def announced_without_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.mqtt.discovery.FIRST_S", 0.1)


async def run_once(
    folder: Path,
    broker: Mosquitto,
    gateway: str,
    prefix: str,
    until: str,
    cleared: Callable[[], bool] = lambda: True,
) -> None:
    """Run the broker side of a gateway until it has retained this and cleared others."""
    settings = Settings.model_validate(
        {
            "gateway": {"id": gateway},
            "mqtt": {
                "brokers": [f"{HOST}:{broker.port}"],
                "prefix": prefix,
                "discovery": "homeassistant",
            },
            "peripherals": [{"id": "strap", "name": "Strap"}],
        }
    )
    environ: Mapping[str, str] = {"BOOT_ID": "boot"}
    run = Run(Clock(folder / "no-timesyncd"), environ)
    async with Outbox(run, settings.outbox, folder, RunFile(None, gateway)) as outbox:
        side = BrokerSide.build(settings, registry.load(), environ, run, outbox, folder)
        side.publisher.track_retained("strap")
        side.go_online()
        side.announce(
            GatewayInfo(
                version="1",
                host="h",
                run=run.id,
                profiles=[],
                peripherals=[],
                adapters=[],
                requests=[],
            )
        )
        side.devices.on_state("strap", "waiting")
        await side.clear_removed()
        publishing = asyncio.create_task(side.publisher.run(lambda: None))
        others = [
            asyncio.create_task(side.retained.run(lambda: None)),
            asyncio.create_task(side.discovery.run(lambda: None)),
        ]
        async with Subscriber(broker.port, name=f"until-{gateway}") as subscriber:
            await subscriber.until(lambda _: subscriber.at(until))
            async with asyncio.timeout(BOUND_S):
                while not cleared():  # noqa: ASYNC110 (the log has no event to wait for)
                    await asyncio.sleep(0.05)
        await side.go_offline()
        async with asyncio.timeout(BOUND_S):
            await publishing
        for task in others:
            await end_task(task)


async def kept(broker: Mosquitto) -> set[str]:
    """Return the topics at which the broker keeps something."""
    async with Subscriber(broker.port, name="late") as late:
        late.send("last", b"1")
        await late.until(lambda _: late.at("last"))
        return {one.topic for one in late.messages if one.retained}


@pytest.mark.parametrize("recorded_by", ["this version", "an earlier version"])
@pytest.mark.parametrize(("gateway", "prefix"), [("new", "healthd"), ("old", "home/health")])
async def test_another_id_or_prefix_leaves_nothing_behind(
    mosquitto: StartMosquitto, tmp_path: Path, gateway: str, prefix: str, recorded_by: str
) -> None:
    broker = await mosquitto()
    await run_once(tmp_path, broker, "old", "healthd", "homeassistant/device/old_strap/config")
    before = await kept(broker)
    own = {"healthd/old/status", "healthd/old/info"}
    device = {"healthd/old/device/strap/status", "healthd/old/device/strap/info"}
    assert own | device < before
    if recorded_by == "an earlier version":
        file = tmp_path / "retained.json"
        file.write_bytes(orjson.dumps({"strap": orjson.loads(file.read_bytes())["strap"]}))
    announcement = f"homeassistant/device/{gateway}_strap/config"
    with capture_logs() as log:
        await run_once(
            tmp_path,
            broker,
            gateway,
            prefix,
            announcement,
            lambda: b"healthd/old" not in (tmp_path / "retained.json").read_bytes(),
        )
    (line,) = [one for one in log if one["event"] == "retained topics cleared"]
    assert own | device <= set(line["topics"])
    after = await kept(broker)
    assert {one for one in after if one.startswith("healthd/old/")} == set()
    assert {f"{prefix}/{gateway}/status", f"{prefix}/{gateway}/device/strap/info"} < after
    assert ("homeassistant/device/old_strap/config" in after) == (gateway == "old")
    recorded = orjson.loads((tmp_path / "retained.json").read_bytes())
    assert not [one for topics in recorded.values() for one in topics if "healthd/old" in one]


async def test_one_line_names_the_topics_that_may_not_be_cleared(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite #\n")
    broker = await mosquitto(f"allow_anonymous true\nacl_file {acl}")
    await run_once(tmp_path, broker, "old", "healthd", "healthd/old/device/strap/info")
    acl.write_text("topic read #\ntopic readwrite healthd/new/#\ntopic readwrite last\n")
    await broker.reload()
    with capture_logs() as log:

        def lines() -> list[MutableMapping[str, Any]]:
            return [one for one in log if one["event"] == "retained topics not cleared"]

        def named() -> set[str]:
            return {topic for line in lines() for topic in line["topics"]}

        await run_once(
            tmp_path,
            broker,
            "new",
            "healthd",
            "healthd/new/device/strap/info",
            lambda: {"healthd/old/status", "healthd/old/device/strap/info"} <= named(),
        )
    # A second one only if the answers of the broker were far apart, as on a busy machine.
    assert len(lines()) <= 2
    assert all("mosquitto_pub" in line["hint"] for line in lines())
    assert "healthd/old/status" in await kept(broker)
    assert b"healthd/old/device/strap/info" in (tmp_path / "retained.json").read_bytes()


async def test_a_copy_of_a_gateway_does_not_clear_what_the_original_has_retained(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    """A copied SD card has the record of the original, which is online."""
    broker = await mosquitto()
    await run_once(tmp_path, broker, "old", "healthd", "healthd/old/device/strap/info")
    async with Subscriber(broker.port, name="original") as original:
        original.send("healthd/old/status", b"online", retain=True)
        await original.until_payload("healthd/old/status", b"online")
    with capture_logs() as log:
        await run_once(
            tmp_path,
            broker,
            "new",
            "healthd",
            "healthd/new/device/strap/info",
            lambda: "retained topics not cleared" in [one["event"] for one in log],
        )
    assert {"healthd/old/status", "healthd/old/info"} < await kept(broker)
    (line,) = [one for one in log if one["event"] == "retained topics not cleared"]
    assert "healthd/old/device/strap/info" in line["topics"]
    assert b"healthd/old" not in (tmp_path / "retained.json").read_bytes()
