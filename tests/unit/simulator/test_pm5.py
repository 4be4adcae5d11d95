"""The simulated PM5. Layouts: the maker's interface definition, tables 3 and 4."""

import asyncio
import random
from collections import Counter
from datetime import datetime
from itertools import pairwise

import pytest
from bleak.exc import BleakGATTProtocolError

from healthd.simulator.vendor.pm5 import packets
from healthd.simulator.vendor.pm5.row import Happened, Row
from tests.unit.simulator.bench import Bench, Inbox
from tests.unit.simulator.probe import probe

NOW = datetime(2026, 11, 24, 7, 30)  # noqa: DTZ001 - a monitor knows no time zone
# What fits into one notification of a link with the smallest MTU.
MOST_BYTES = 20


def uuid(number: int) -> str:
    return f"ce06{number:04x}-43e5-11e4-916c-0800200c9a66"


def workout() -> list[packets.Packet]:
    """Return what a monitor sends in one workout."""
    row, sent = Row(random.Random(7)), list[packets.Packet]()
    for _ in range(round(60 / 0.05)):
        for happened in row.advance(0.05):
            if happened is Happened.DRIVE_OVER:
                sent += packets.stroke(row, drive=True)
            elif happened is Happened.RECOVERY_OVER:
                sent += packets.stroke(row, drive=False)
            elif happened is Happened.SPLIT_OVER:
                sent += packets.split(row)
            else:
                sent += packets.summary(row, NOW)
                return sent
        sent += packets.status(row)
    raise AssertionError("the workout does not end")


def test_a_workout_has_its_strokes_two_splits_and_a_summary() -> None:
    sent = workout()
    counted = Counter(number for number, _ in sent)
    assert counted[0x37] == counted[0x38] == 2
    assert counted[0x39] == counted[0x3A] == 1
    strokes = counted[0x36]
    assert 15 <= strokes <= 30
    assert counted[0x3D] == 5 * strokes
    assert counted[0x35] in {2 * strokes, 2 * strokes - 1}
    summary = next(value for number, value in sent if number == 0x39)
    # Month 11, day 24, year 2026: 26 * 512 + 24 * 16 + 11 = 0x358b; 30 minutes, 7 hours.
    assert summary[:4].hex() == "8b351e07"
    assert int.from_bytes(summary[7:10], "little") == 2000


def test_everything_fits_into_the_smallest_notification() -> None:
    sent = workout()
    assert max(len(value) for _, value in sent) == MOST_BYTES
    assert max(map(len, packets.multiplexed(sent))) == MOST_BYTES


def test_0080_has_other_forms_of_some_packets() -> None:
    sizes = {0x31: 19, 0x32: 19, 0x33: 18, 0x35: 18, 0x36: 17, 0x37: 18, 0x38: 19, 0x39: 18}
    sizes |= {0x3A: 18, 0x3C: 10}
    found = {value[0]: len(value) - 1 for value in packets.multiplexed(workout())}
    assert found == sizes


async def test_the_rate_is_what_was_written(bench: Bench) -> None:
    async with asyncio.timeout(20):
        device = await probe(bench, "pm5", period=0.1)
        assert await device.read(uuid(0x34)) == b"\x01"
        inbox = await device.subscribe(uuid(0x31))
        for rate, step in (("03", 10), ("00", 100)):
            await device.write(uuid(0x34), rate)
            # Rowing, and after what was sent before.
            rowing = [await _rowing(inbox) for _ in range(8)][2:]
            times = [int.from_bytes(value[:3], "little") for value in rowing]
            # A busy machine leaves some out.
            assert min(after - before for before, after in pairwise(times)) in {step, step + 5}


async def _rowing(inbox: Inbox) -> bytes:
    while not (value := await inbox.get())[9]:
        pass
    return value


@pytest.mark.parametrize("rate", ["04", "0101", ""])
async def test_another_rate_is_refused(bench: Bench, rate: str) -> None:
    async with asyncio.timeout(20):
        device = await probe(bench, "pm5")
        with pytest.raises(BleakGATTProtocolError):
            await device.write(uuid(0x34), rate)


async def test_0080_has_only_what_is_not_subscribed(bench: Bench) -> None:
    async with asyncio.timeout(20):
        device = await probe(bench, "pm5", period=0.05)
        await device.subscribe(uuid(0x31))
        values = await device.values(uuid(0x80), 12)
    assert {value[0] for value in values} >= {0x32, 0x33}
    assert 0x31 not in {value[0] for value in values[1:]}
