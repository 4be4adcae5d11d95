"""The services of a chest strap over a link."""

import asyncio
import random
import time

from bleak import BleakClient

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import (
    CAPTURES,
    Battery,
    ReplayedHeart,
    SyntheticHeart,
    battery_part,
    chest_strap,
)
from tests.unit.simulator.bench import Bench, Inbox


async def add(bench: Bench, peripheral: VirtualPeripheral) -> BleakClient:
    await bench.air.add(peripheral)
    await peripheral.appear()
    return await bench.connect(peripheral.name)


async def test_captured_payloads_arrive_unchanged(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        strap = chest_strap("Strap", "C0:00:00:00:00:02", ReplayedHeart(), period=0.01)
        client = await add(bench, strap)
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        assert [await inbox.get() for _ in CAPTURES] == [capture.payload for capture in CAPTURES]


async def test_measurements_keep_their_period(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        strap = chest_strap(
            "Strap",
            "C0:00:00:00:00:02",
            SyntheticHeart(random.Random(1)),
            period=0.02,
            record=sent.append,
        )
        client = await add(bench, strap)
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        for _ in range(50):
            await inbox.get()
    # Ticks that a busy machine misses are skipped, not sent later.
    periods = (sent[-1].at - sent[0].at) / 0.02
    assert len(sent) - 1 <= periods + 1


async def test_reset_energy_reaches_the_heart(bench: Bench) -> None:
    class Heart(ReplayedHeart):
        resets = 0

        def reset_energy(self) -> None:
            self.resets += 1

    async with asyncio.timeout(10):
        heart = Heart()
        client = await add(bench, chest_strap("Strap", "C0:00:00:00:00:02", heart))
        await client.write_gatt_char("2a39", b"\x01", response=True)
    assert heart.resets == 1


async def test_no_payload_is_created_without_a_subscription(bench: Bench, inbox: Inbox) -> None:
    class Heart(ReplayedHeart):
        payloads = 0

        def payload(self, elapsed: float) -> bytes:
            self.payloads += 1
            return super().payload(elapsed)

    async with asyncio.timeout(10):
        heart = Heart()
        client = await add(bench, chest_strap("Strap", "C0:00:00:00:00:02", heart, period=0.01))
        assert heart.payloads == 0
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        await inbox.get()
        await client.stop_notify("2a37")
        payloads = heart.payloads
        await client.read_gatt_char("2a19")
        assert heart.payloads == payloads


async def test_battery_notifies_falling_levels(bench: Bench) -> None:
    async with asyncio.timeout(10):
        inbox: asyncio.Queue[int] = asyncio.Queue()
        battery = Battery(80, seconds_per_percent=0.1)
        peripheral = VirtualPeripheral("Cell", "C0:00:00:00:00:03", [battery_part(battery)])
        client = await add(bench, peripheral)
        await client.start_notify("2a19", lambda _, value: inbox.put_nowait(value[0]))
        levels = [await inbox.get() for _ in range(3)]
        assert levels == sorted(set(levels), reverse=True)
        assert levels[0] < 80
        assert (await client.read_gatt_char("2a19"))[0] <= levels[-1]


async def test_battery_sends_no_level_below_one_per_cent() -> None:
    async with asyncio.timeout(10):
        battery = Battery(3, seconds_per_percent=0.01)
        started = time.monotonic()
        assert [level[0] async for level in battery.changes()][-1] == 1
        assert time.monotonic() - started >= 0.015
        assert battery.level == 1
