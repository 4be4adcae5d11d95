"""Scales that only advertise -> daemon -> broker: one result for each weighing."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from healthd.simulator.broadcaster import Frame
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.broadcasting.scales import mi_body_scale_frame
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.part import Sent
from tests.end_to_end.broadcast_rig import (
    broadcaster,
    delivered,
    distinct,
    mi_readings,
    mi_weighing,
    send,
)
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(120)

SCALE = {"id": "scale", "address": address(1), "connect": False}
DEVICE = "healthd/gateway/device/scale"
WEIGHT, INTERMEDIATE = f"{DEVICE}/weight", f"{DEVICE}/intermediate_weight"


def weights(subscriber: Subscriber, topic: str = WEIGHT) -> list[float]:
    return [sample["weight_kg"] for sample in delivered(subscriber, topic)]


async def until_weights(subscriber: Subscriber, number: int) -> None:
    await subscriber.until(lambda _: len(weights(subscriber)) >= number, BOUND_S)


async def test_a_weighing_of_40_advertisements_is_one_result(
    broker: EmbeddedBroker, subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    scale = broadcaster(1, "MI SCALE2")
    async with gateway(subscriber, settings, [SCALE]) as air:
        await add(air, scale)
        frames = mi_weighing(70.0)
        assert len(frames) == 40
        await send(air, scale, frames)
        await until_weights(subscriber, 1)
        # Scales repeat the last result, for example when they are moved.
        await send(air, scale, [frames[-1]] * 5)
        async with Subscriber(broker.port, WEIGHT, name="late") as late:
            (kept,) = await late.until(lambda all_: list(all_))
            assert kept.retained
            assert kept.json()["weight_kg"] == 70.0
        before_the_next = len(delivered(subscriber, INTERMEDIATE))
        await send(air, scale, mi_weighing(71.0))
        await until_weights(subscriber, 2)
    assert weights(subscriber) == [70.0, 71.0]
    unstable = [value for value in distinct(frames) if not value[0] & 0x20]
    assert before_the_next == len(unstable)
    statuses = [message.payload for message in subscriber.at(f"{DEVICE}/status")]
    assert statuses[-2:] == [b"online", b"offline"]  # the last one at the stop
    assert statuses.count(b"online") == 1
    conform(subscriber.messages)


async def test_each_payload_heard_once_is_enough(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    """Controllers that filter duplicates report each payload once."""
    scale = broadcaster(1)
    async with gateway(subscriber, settings, [SCALE]) as air:
        await add(air, scale)
        frames = mi_weighing(70.0)
        once = [frame for at, frame in enumerate(frames) if at == 0 or frame != frames[at - 1]]
        assert len(once) < 25
        await send(air, scale, once)
        await until_weights(subscriber, 1)
    assert weights(subscriber) == [70.0]


async def test_a_stable_weight_alone_is_a_result(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    """The radio may have heard nothing else of the weighing."""
    scale = broadcaster(1)
    async with gateway(subscriber, settings, [SCALE]) as air:
        await add(air, scale)
        await send(air, scale, mi_weighing(70.0)[25:26])
        await until_weights(subscriber, 1)
    assert weights(subscriber) == [70.0]


async def test_a_result_of_before_the_start_is_not_new_after_it(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    frames = mi_weighing(70.0)
    for expected in ([70.0], [70.0]):
        scale = broadcaster(1)
        async with gateway(subscriber, settings, [SCALE]) as air:
            await add(air, scale)
            await send(air, scale, frames)
            await until_weights(subscriber, 1)
        assert weights(subscriber) == expected


async def test_weight_and_impedance_are_one_result(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entry = {"id": "scale", "service": "mi_body_scale"}
    scale = broadcaster(1, "MIBFS", services=["181b"])
    result = f"{DEVICE}/body_composition"
    async with gateway(subscriber, settings, [entry]) as air:
        await add(air, scale)
        await send(air, scale, map(mi_body_scale_frame, mi_readings(70.0)))
        await subscriber.until(lambda _: subscriber.at(result), BOUND_S)
    (sample,) = delivered(subscriber, result)
    assert sample.items() >= {"weight_kg": 70.0, "impedance_ohm": 500.0}.items()


async def test_a_scale_without_a_clock_has_one_result_for_each_weighing(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    sent: list[Sent] = []
    scale = BROADCASTING["okok"].make(address(1), random.Random(1), period=5.0, record=sent.append)
    async with gateway(subscriber, settings, [{"id": "scale", "service": "okok"}]) as air:
        await air.add(scale)
        await air.scanned.wait()
        await scale.appear()
        await until_weights(subscriber, 2)
        await scale.vanish()
    # Byte 6: bit 0 is set for a stable weight; bytes 0 and 1: 0.01 kg, the high one first.
    stable = [each.payload[:2] for each in sent if each.payload[6] & 1]
    shown = [int.from_bytes(value) / 100 for value in dict.fromkeys(stable)]
    assert weights(subscriber) == shown[:2]


# Heard by ble_monitor (custom-components/ble_monitor, tests of miscale_parser, commit 5690220,
# MIT), with made-up addresses. What its tests expect: 87.2 and 86.55 kg, 85.15 kg and 428 ohm.
CAPTURED = (
    (1, "02010603021d1809ff570102005e1000100d161d18a22044b20701010a1a15"),
    (1, "02010603021d1809ff570102005e1000100d161d18821400e507040b101708"),
    (1, "02010603021d1809ff570102005e1000100d161d18229e43e507040b101301"),
    (2, "02010603021b1810161b180204b207010112101a0000a852"),
    (2, "02010603021b1810161b180226b20705040f0201ac018642"),
)


async def test_advertisements_of_real_scales(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entries: list[Mapping[str, Any]] = [
        SCALE,
        {"id": "body-scale", "address": address(2), "connect": False},
    ]
    composition = "healthd/gateway/device/body-scale/body_composition"
    async with gateway(subscriber, settings, entries) as air:
        await air.scanned.wait()
        for number, data in CAPTURED:
            air.transmit(address(number), bytes.fromhex(data))
            await asyncio.sleep(0.1)
        await until_weights(subscriber, 2)
        await subscriber.until(lambda _: subscriber.at(composition), BOUND_S)
    # One of them from a clock that was never set.
    assert sorted(weights(subscriber)) == [86.55, 87.2]
    (sample,) = delivered(subscriber, composition)
    assert sample.items() >= {"weight_kg": 85.15, "impedance_ohm": 428.0}.items()


async def test_two_scales_for_one_pattern_are_refused(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entries = [
        {"id": "scale", "name": "MI SCALE*", "connect": False},
        {"id": "other", "address": address(3), "connect": False},
    ]
    ours, foreign, other = (broadcaster(number, "MI SCALE2") for number in (1, 2, 3))
    async with gateway(subscriber, settings, entries) as air:
        await add(air, ours, foreign, other)
        # A device that has an entry of its own is not a rival.
        await send(air, other, mi_weighing(60.0))
        await send(air, ours, mi_weighing(70.0))
        await until_weights(subscriber, 1)
        await send(air, foreign, mi_weighing(90.0))
        await send(air, ours, mi_weighing(71.0))
        await send(air, other, mi_weighing(61.0))
        others = "healthd/gateway/device/other/weight"
        await subscriber.until(lambda _: len(weights(subscriber, others)) == 2, BOUND_S)
        info = [message.json() for message in subscriber.at(f"{DEVICE}/info")]
        assert info[-1].items() >= {"state": "waiting", "reason": "ambiguous"}.items()
    assert weights(subscriber) == [70.0]
    assert weights(subscriber, others) == [60.0, 61.0]


async def test_a_name_that_comes_with_a_later_scan_response(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entry = {"id": "scale", "name": "MI SCALE*", "connect": False}
    scale = broadcaster(1, "MI SCALE2", named_after=10)
    frames: list[Frame] = mi_weighing(70.0)
    async with gateway(subscriber, settings, [entry]) as air:
        await add(air, scale)
        await send(air, scale, frames)
        await until_weights(subscriber, 1)
    assert weights(subscriber) == [70.0]
    assert subscriber.at(INTERMEDIATE)[0].json()["weight_kg"] > 69.9
