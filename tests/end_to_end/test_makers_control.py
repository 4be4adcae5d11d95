"""Trainers and a cuff that speak protocols of their makers, controlled by requests, end to end."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.fec import FecTrainer, framed, trainer_part
from healthd.simulator.vendor.kickr import KickrBrake, kickr_parts
from healthd.simulator.vendor.qardio import Arm, arm_parts
from healthd.verbs import REQUESTS, RequestRefused
from tests.end_to_end.simulated_gateway import add, address, info, live
from tests.end_to_end.test_control import Client
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

# Without their checksums: a flat road, and 200 W.
FLAT, WATTS_200 = "a4094f0533ffffffff204e50", "a4094f0531ffffffffff2003"
PERIOD_S = 0.05
ANY_POWER = [0, 1000]


@asynccontextmanager
async def gateway(
    subscriber: Subscriber,
    settings: dict[str, Any],
    parts: Sequence[Part],
    *,
    name: str = "Machine",
    stream: str = "bike_trainer",
    control: dict[str, Any] | None = None,
) -> AsyncGenerator[tuple[Client, VirtualPeripheral]]:
    """Run the daemon with a device; after the block the daemon has stopped."""
    entry = {"id": "machine", "address": address(1), "control": control or {}}
    mqtt = {**settings["mqtt"], "requests": list(REQUESTS)}
    whole = Settings.model_validate({**settings, "mqtt": mqtt, "peripherals": [entry]})
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        backends = Backends(air.scanner_backend, air.client_backend)
        tasks.create_task(Daemon(whole, registry.load(), {}, backends).run(stop))
        try:
            device = VirtualPeripheral(name, address(1), parts)
            await add(air, device)
            await subscriber.until(lambda all_: info(all_, "machine").get("state") == "streaming")
            if stream:
                await subscriber.until(lambda _: live(subscriber, "machine", stream))
            yield Client(stop, subscriber), device
        finally:
            stop.set()
    await subscriber.until_payload("healthd/gateway/status", b"offline")
    conform(subscriber.messages)


def commands(frames: Sequence[bytes]) -> list[str]:
    """Return the frames that move a trainer, without their checksums."""
    return [frame[:-1].hex() for frame in frames if 0x30 <= frame[4] <= 0x33]


def results(client: Client) -> list[tuple[str, str | None]]:
    return [(event["change"], event.get("reason")) for event in client.events()]


async def test_a_fec_trainer_whose_controller_dies_is_released_in_its_lease(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer, frames = FecTrainer(random.Random(1)), list[bytes]()
    trainer.record = frames.append
    control = {"power_w": ANY_POWER, "lease": "1s"}
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts, control=control) as (client, _):
        assert await client.request("set_target_power", power_w=200) == {
            "power_w": 200,
            "lease_s": 1.0,
        }
        assert trainer.target_w == 200
        await subscriber.until(lambda all_: info(all_, "machine").get("controlled"))
        await client.until_event("released")
        assert trainer.target_w is None
        assert commands(frames) == [WATTS_200, FLAT]
        await subscriber.until(lambda all_: info(all_, "machine")["controlled"] is False)
    assert results(client) == [("granted", None), ("set", None), ("released", "lease")]


async def test_power_follows_the_target_and_the_command_status_is_published(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer = FecTrainer(random.Random(1))
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts, control={"power_w": ANY_POWER}) as (client, _):
        await client.request("set_target_power", power_w=320)

        def has_followed(_: object) -> bool:
            newest = live(subscriber, "machine", "bike_trainer")[-1]
            return newest["power_w"] == pytest.approx(320, abs=5)

        await subscriber.until(has_followed)
        await subscriber.until(lambda _: live(subscriber, "machine", "trainer_command"))
        status = live(subscriber, "machine", "trainer_command")[-1]
        assert (status["command_page"], status["command_status"]) == (0x31, "pass")


async def test_a_fec_trainer_is_released_when_healthd_stops(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer, frames = FecTrainer(random.Random(1)), list[tuple[bytes, bool]]()
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts) as (client, device):
        await client.request("set_simulation", grade_pct=4, wind_speed_mps=2)
        assert trainer.bike.road.grade_pct == pytest.approx(4)
        assert trainer.bike.road.wind_mps == pytest.approx(7 / 3.6)
        trainer.record = lambda frame: frames.append((frame, device.linked.is_set()))
        client.stop.set()
        await device.unlinked.wait()
        assert trainer.bike.road.grade_pct == pytest.approx(0)
        assert trainer.bike.road.wind_mps == 0
    # The wind that was set, too; all while there was a link.
    assert commands([frame for frame, _ in frames]) == ["a4094f0532ffffffff337f64", FLAT]
    assert all(linked for _, linked in frames)
    assert results(client)[-1] == ("released", "hang_up")


async def test_a_fec_trainer_that_has_lost_its_link_is_released_on_the_next_one(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    """It keeps its target: it does not know that its controller is gone."""
    trainer = FecTrainer(random.Random(1))
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts, control={"power_w": ANY_POWER}) as (
        client,
        device,
    ):
        await client.request("set_target_power", power_w=300)
        await device.drop()
        await client.until_event("released")
        assert trainer.target_w is None
    changes = results(client)
    assert changes[:2] == [("granted", None), ("set", None)]
    assert changes[2][0] == "lost"
    assert changes[3:] == [("released", "link_lost")]


@pytest.mark.parametrize(
    ("page", "verb", "keys"),
    [
        (0x31, "set_target_power", {"power_w": 200}),
        (0x33, "set_simulation", {"grade_pct": 2}),
    ],
)
async def test_a_trainer_that_refuses_a_command_says_so(
    subscriber: Subscriber, settings: dict[str, Any], page: int, verb: str, keys: dict[str, int]
) -> None:
    trainer = FecTrainer(random.Random(1))
    trainer.statuses[page] = 3
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts, control={"power_w": ANY_POWER}) as (client, _):
        with pytest.raises(RequestRefused, match="the machine answered invalid_parameter"):
            await client.request(verb, **keys)
        trainer.statuses.clear()


async def test_a_trainer_without_a_mode_is_not_asked_for_it(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer, frames = FecTrainer(random.Random(1), modes=0b100), list[bytes]()
    trainer.record = frames.append
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(
        subscriber, settings, parts, control={"power_w": ANY_POWER}, stream="trainer_capabilities"
    ) as (client, _):
        with pytest.raises(RequestRefused, match="has no target power"):
            await client.request("set_target_power", power_w=200)
        assert commands(frames) == []
        await client.request("set_simulation", grade_pct=1)
        assert trainer.bike.road.grade_pct == pytest.approx(1)


async def test_a_trainer_that_never_says_what_it_did_obeys(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer = FecTrainer(random.Random(1))
    trainer.answers = False
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts, control={"power_w": ANY_POWER}) as (client, _):
        for watts in (150, 160):
            await client.request("set_target_power", power_w=watts)
            assert trainer.target_w == watts
        assert await client.request("release") == {"released": True}
        assert trainer.target_w is None


async def test_ftms_is_preferred_where_a_trainer_has_both(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer, bike = FecTrainer(random.Random(1)), Bike(random.Random(1))
    frames: list[bytes] = []
    trainer.record = frames.append
    # The advertisement has room for the short UUID only.
    own = trainer_part(trainer, PERIOD_S)
    hidden = Part(own.service, own.payloads)
    parts = [bike_part(bike, 0.1), hidden]
    async with gateway(subscriber, settings, parts, stream="indoor_bike") as (client, _):
        await client.request("set_target_power", power_w=200)
        assert bike.target_w == 200
        assert frames == []
    assert not live(subscriber, "machine", "bike_trainer")


async def test_frames_with_a_wrong_checksum_and_foreign_frames_make_no_samples(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    trainer = FecTrainer(random.Random(1))
    trainer.spoils = 5
    parts = [trainer_part(trainer, PERIOD_S)]
    async with gateway(subscriber, settings, parts):
        # Another channel; its checksum fits.
        other = bytes.fromhex("a4094e03")
        trainer.feed.put(framed(bytes.fromhex("19d5003101000020"), other))
        count = len(live(subscriber, "machine", "bike_trainer"))
        await subscriber.until(
            lambda _: len(live(subscriber, "machine", "bike_trainer")) > count + 5
        )
        assert all(sample["power_w"] for sample in live(subscriber, "machine", "bike_trainer"))
    undecoded = [one for one in subscriber.messages if "/undecoded/6e40fec2" in one.topic]
    assert len({one.json()["hex"] for one in undecoded}) == 5


async def test_a_kickr_is_unlocked_once_and_released(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    brake, written = KickrBrake(), list[str]()
    brake.record = lambda request: written.append(request.hex())
    parts = kickr_parts(brake, random.Random(1), 0.1)
    control = {"power_w": [0, 400], "resistance_level": [0, 50], "lease": "1s"}
    async with gateway(subscriber, settings, parts, stream="cycling_power", control=control) as (
        client,
        _,
    ):
        await client.request("set_target_power", power_w=200)
        assert brake.target_w == 200
        await client.request("set_target_resistance", resistance_level=10)
        assert (brake.target_w, brake.resistance) == (None, pytest.approx(0.1, abs=0.001))
        with pytest.raises(RequestRefused, match="expected 0 to 400"):
            await client.request("set_target_power", power_w=500)
        for verb, keys in (("set_simulation", {"grade_pct": 1}), ("start", {})):
            with pytest.raises(RequestRefused):
                await client.request(verb, **keys)
        await client.until_event("released")
        assert (brake.level, brake.resistance, brake.target_w) == (0, None, None)
    assert written == ["20eefc", "42c800", "409939", "4100"]


async def test_a_qardio_arm_measures_on_request(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    arm, written = Arm(random.Random(1), 0.4), list[str]()
    arm.record = lambda command: written.append(command.hex())
    async with gateway(
        subscriber, settings, arm_parts(arm), name="QardioARM", stream="battery"
    ) as (client, _):
        assert not live(subscriber, "machine", "intermediate_cuff_pressure")
        assert await client.request("start") == {}
        await subscriber.until(lambda _: live(subscriber, "machine", "blood_pressure"))
    (result,) = live(subscriber, "machine", "blood_pressure")
    assert [(result["systolic_mmhg"], result["diastolic_mmhg"])] == arm.results
    pressures = live(subscriber, "machine", "intermediate_cuff_pressure")
    assert [sample["cuff_pressure_mmhg"] for sample in pressures] == sorted(
        sample["cuff_pressure_mmhg"] for sample in pressures
    )
    assert len(pressures) == 8
    assert written == ["f101"]
    assert results(client) == [("started", None)]


async def test_a_qardio_arm_is_stopped_while_it_inflates(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    arm, written = Arm(random.Random(1), 400.0), list[str]()
    arm.record = lambda command: written.append(command.hex())
    async with gateway(
        subscriber, settings, arm_parts(arm), name="QardioARM", stream="battery"
    ) as (client, _):
        await client.request("start")
        assert await client.request("stop") == {}
    assert written == ["f101", "f102"]
    assert not live(subscriber, "machine", "blood_pressure")
    assert results(client) == [("started", None), ("stopped", None)]


async def test_a_qardio_arm_with_an_empty_battery_is_not_started(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    arm = Arm(random.Random(1), 0.4, battery_pct=9)
    async with gateway(
        subscriber, settings, arm_parts(arm), name="QardioARM", stream="battery"
    ) as (client, _):
        with pytest.raises(RequestRefused, match="its battery has 9 %, and below 10 % it fails"):
            await client.request("start")
    assert arm.starts == 0
    assert results(client) == [("refused", "battery_low")]
