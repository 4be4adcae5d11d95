"""Ours next to a thousand advertisements a second of foreign devices: nothing of ours is missed."""

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

import pytest

from healthd.simulator.broadcaster import Broadcaster
from healthd.simulator.broadcasting.rides import keiser
from healthd.simulator.part import Sent
from tests.end_to_end.broadcast_rig import broadcaster, delivered, distinct, mi_weighing, send
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.support.crowd import Crowd
from tests.support.subscriber import Subscriber

PER_S = 1000
DEVICES = "healthd/gateway/device"


@pytest.mark.timeout(180)
@pytest.mark.untraced
async def test_no_payload_is_missed_next_to_a_crowd(
    subscriber: Subscriber, settings: dict[str, Any], measured: Callable[[str], None]
) -> None:
    entries = [
        {"id": "scale", "service": "mi_scale"},
        {"id": "bike", "address": address(2), "connect": False},
    ]
    ridden: list[Sent] = []
    scale = broadcaster(1, "MI SCALE2", services=["181d"])
    bike = Broadcaster("M3", address(2), keiser(random.Random(1), 0.3), record=ridden.append)
    weights = f"{DEVICES}/scale/weight"
    async with gateway(subscriber, settings, entries) as air:
        await add(air, scale)
        await air.scanned.wait()
        await air.add(bike)
        crowd = Crowd(air, random.Random(2), PER_S)
        loop = asyncio.get_running_loop()
        since = loop.time()
        advertising = asyncio.create_task(crowd.run())
        await bike.appear()
        sent: list[bytes] = []
        for number, weight in enumerate((70.0, 71.0, 72.0), start=1):
            frames = mi_weighing(weight)
            sent += distinct(frames)
            await send(air, scale, frames)
            await subscriber.until(
                lambda _, n=number: len(delivered(subscriber, weights)) >= n, BOUND_S
            )
        lasted_s = loop.time() - since
        await bike.vanish()
        advertising.cancel()
        rides = f"{DEVICES}/bike/keiser_bike"
        expected = len(distinct({each.uuid: each.payload} for each in ridden))
        await subscriber.until(lambda _: len(delivered(subscriber, rides)) >= expected, BOUND_S)
    assert crowd.heard > 0.8 * PER_S * lasted_s
    assert crowd.addresses > 1000
    assert [sample["weight_kg"] for sample in delivered(subscriber, weights)] == [70, 71, 72]
    intermediate = delivered(subscriber, f"{DEVICES}/scale/intermediate_weight")
    assert len(intermediate) == sum(not value[0] & 0x20 for value in sent)
    assert len(delivered(subscriber, rides)) == expected
    measured(
        f"{crowd.heard} foreign advertisements of {crowd.addresses} addresses in {lasted_s:.0f} s"
        f" ({crowd.heard / lasted_s:.0f}/s); ours {len(sent)} + {expected} distinct, 0 missed"
    )


@pytest.mark.timeout(120)
@pytest.mark.untraced
async def test_a_crowd_leaves_nothing_behind(
    subscriber: Subscriber, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many addresses were heard, no more objects are alive than before."""
    # Only the simulated BlueZ forgets by time; what healthd keeps must not depend on it.
    monkeypatch.setattr("healthd.simulator.backend.FORGOTTEN_S", 0.5)
    async with gateway(subscriber, settings, [{"id": "scale", "service": "mi_scale"}]) as air:
        await air.scanned.wait()
        alive: list[int] = []
        addresses = 0
        for _ in range(3):
            crowd = Crowd(air, random.Random(3), 2 * PER_S)
            advertising = asyncio.create_task(crowd.run())
            await asyncio.sleep(4)
            advertising.cancel()
            await asyncio.wait([advertising])
            gc.collect()
            alive.append(len(gc.get_objects()))
            addresses = crowd.addresses
        assert addresses > 500
    assert alive[2] < alive[0] + 500, alive
    assert not [one.topic for one in subscriber.messages if "/device/scale/w" in one.topic]
