"""Peripherals that are listened to, with settings that change, and next to others."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from healthd.simulator.broadcaster import Broadcaster
from tests.end_to_end.broadcast_rig import broadcaster, mi_weighing, send
from tests.end_to_end.reload_rig import BOUND_S, ReloadRig, entry, topic, until_streaming
from tests.end_to_end.simulated_gateway import address, info
from tests.support.conformity import conform
from tests.support.streams import streams
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(120)

MINE, OTHER = 7, 8
WEIGHT = topic("scale", "weight")


def weights(subscriber: Subscriber, where: str = WEIGHT) -> list[float]:
    return [message.json()["weight_kg"] for message in subscriber.at(where)]


async def until_weights(subscriber: Subscriber, *expected: float) -> None:
    await subscriber.until(lambda _: weights(subscriber) == [*expected], BOUND_S)


def scale(number: int) -> Broadcaster:
    return broadcaster(number, "MI SCALE2")


@pytest.mark.parametrize(
    "selected",
    [{"service": "mi_scale"}, {"name": "MI*", "connect": False}],
    ids=["service", "name"],
)
async def test_the_weight_of_a_second_scale_is_not_published(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, selected: dict[str, Any]
) -> None:
    mine, other = scale(MINE), scale(OTHER)
    rig = ReloadRig(tmp_path, settings, {"id": "scale", **selected})
    async with rig.running(None, mine, other):
        await send(rig.air, mine, mi_weighing(70.0))
        await until_weights(subscriber, 70.0)
        # The other one is used while someone is standing on the first one.
        frames = mi_weighing(71.0)
        await send(rig.air, mine, frames[:15])
        await send(rig.air, other, mi_weighing(55.5)[:1])
        await subscriber.until_payload(topic("scale", "status"), b"offline", at_most=BOUND_S)
        for device, pushed in ((mine, frames[15:]), (other, mi_weighing(55.5))):
            for frame in pushed:
                device.send(frame)
                await asyncio.sleep(0.01)
        newest = info(subscriber.messages, "scale")
        assert (newest["state"], newest["reason"]) == ("waiting", "ambiguous")
        (warning,) = (line for line in rig.log if line["event"] == "two devices match")
        assert {str(one) for one in warning["addresses"]} == {address(MINE), address(OTHER)}
        assert weights(subscriber) == [70.0]
        # The owner puts the address of the right one into the settings.
        rig.write(settings, {"id": "scale", "address": address(MINE), "connect": False})
        await rig.reload()
        await send(rig.air, other, mi_weighing(55.5))
        await send(rig.air, mine, mi_weighing(72.0))
        await until_weights(subscriber, 70.0, 72.0)
    # The first one of mine is 46 kg, that of the other scale 31.5 kg.
    assert min(weights(subscriber, topic("scale", "intermediate_weight"))) > 45.0
    conform(subscriber.messages)


async def test_settings_decide_between_a_link_and_listening(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    mine = scale(MINE)
    unset = {"id": "scale", "address": address(MINE)}
    rig = ReloadRig(tmp_path, settings, entry("one", 1), unset)
    async with rig.running(None, mine):
        await until_streaming(subscriber, "one")
        # It only advertises, and says nothing about a service.
        await send(rig.air, mine, mi_weighing(70.0))
        await until_weights(subscriber, 70.0)
        assert info(subscriber.messages, "scale")["profiles"] == ["mi_scale"]
        before = rig.link_identity(1)
        rig.write(settings, entry("one", 1), {**unset, "connect": True})
        await rig.reload()
        await send(rig.air, mine, mi_weighing(71.0)[:5])
        await subscriber.until(
            lambda all_: info(all_, "scale")["state"] in ("connecting", "waiting"), BOUND_S
        )
        rig.write(settings, entry("one", 1, connect=False), {**unset, "connect": False})
        await rig.reload()
        await rig.straps[1].unlinked.wait()
        await send(rig.air, mine, mi_weighing(72.0))
        await until_weights(subscriber, 70.0, 72.0)
        rig.write(settings, entry("one", 1), {**unset, "connect": False})
        await rig.reload()
        await until_streaming(subscriber, "one")
        assert rig.link_identity(1) != before
    assert rig.reloaded()["changed"] == ["one"]
    conform(subscriber.messages)


async def test_weighings_of_people_on_a_scale_that_only_advertises(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    mine = scale(MINE)
    rig = ReloadRig(tmp_path, settings, {"id": "scale", "service": "mi_scale"})
    for person, weight in (("anna", 62.0), ("ben", 80.0)):
        rig.append(f'[[people]]\nid = "{person}"\nweight_kg = {weight}')
    async with rig.running(None, mine):
        for weight in (62.5, 79.0):
            await send(rig.air, mine, mi_weighing(weight))
        await until_weights(subscriber, 62.5, 79.0)
        for person, weight in (("anna", 62.5), ("ben", 79.0)):
            where = topic("scale", f"person/{person}/weight")
            await subscriber.until(lambda _, w=where: subscriber.at(w), BOUND_S)
            assert weights(subscriber, where) == [weight]
    assert [one.json()["person"] for one in subscriber.at(WEIGHT)] == ["anna", "ben"]


async def test_a_link_loses_nothing_next_to_a_scale_that_is_listened_to(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    mine = scale(MINE)
    rig = ReloadRig(tmp_path, settings, entry("one", 1), {"id": "scale", "service": "mi_scale"})
    async with rig.running(None, mine):
        await until_streaming(subscriber, "one")
        for number in range(3):
            await send(rig.air, mine, mi_weighing(70.0 + number))
        await until_weights(subscriber, 70.0, 71.0, 72.0)
        await until_streaming(subscriber, "one")
    (stream,) = streams(subscriber.messages, topic("one", "heart_rate")).values()
    stream.check()
    times = [one.json()["time"] for one in subscriber.at(WEIGHT)]
    assert datetime.fromisoformat(times[0]).tzinfo == UTC
