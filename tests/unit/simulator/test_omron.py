"""Omron cuffs over a link: keys, pieces, sleep, and what they do wrong on demand."""

import asyncio
import random
from datetime import datetime

import pytest

from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.omron import KEY, Transfers, filled
from healthd.simulator.vendor.omron_memory import MAPS, Cuff, Memory, Reading, checksum
from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import ADDRESS, Probe

UNLOCK = "b305b680-aee7-11e1-a730-0002a5d5c51b"
TX = "db5b55e0-aee7-11e1-965e-0002a5d5c51b"
RX = (
    "49123040-aee8-11e1-a74d-0002a5d5c51b",
    "4d0bf320-aee8-11e1-a0d9-0002a5d5c51b",
    "5128ce60-aee8-11e1-b84b-0002a5d5c51b",
    "560f1420-aee8-11e1-8184-0002a5d5c51b",
)
START, END = "0800000000100018", "080f000000000007"
OPEN = "01" + KEY.hex()
ENTER = "02" + 16 * "00"


async def link(bench: Bench, cuff: Cuff, **more: float) -> Probe:
    peripheral = VirtualPeripheral("BLEsmart_0000", ADDRESS, [Transfers(cuff, **more).part()])  # type: ignore[arg-type]
    await bench.air.add(peripheral)
    await peripheral.appear()
    return Probe(peripheral, await bench.connect(peripheral.name))


async def test_a_cuff_of_two_users_has_the_index_of_a_real_one(bench: Bench) -> None:
    cuff = Cuff(filled(random.Random(1), "HEM-7322T", stored=30), key=KEY)
    async with asyncio.timeout(10):
        probe = await link(bench, cuff)
        answers = [await probe.subscribe(uuid) for uuid in RX]
        await probe.subscribe(UNLOCK)
        assert (await probe.request(UNLOCK, OPEN)).startswith("81 00")
        await probe.write(TX, START)
        assert (await answers[0].get()).hex() == "18800000001000000000000000000000"
        assert len(await answers[1].get()) == 16
        await probe.write(TX, "080100026026004d")
        first, second, third = [await answers[place].get() for place in range(3)]
    # Cursors and counters of 30 records, big-endian, as of the HEM-7280T in userx14/omblepy #57.
    assert first[:6].hex() == "2e8100026026"
    assert first[6:14].hex() == "801e801e001e001e"
    frame = (first + second + third)[: first[0]]
    assert checksum(frame) == 0


async def test_a_key_is_accepted_in_pairing_mode_only(bench: Bench) -> None:
    cuff = Cuff(Memory("HEM-7361T"), is_pairing=True, refusals=1)
    async with asyncio.timeout(10):
        probe = await link(bench, cuff)
        await probe.subscribe(UNLOCK)
        assert (await probe.request(UNLOCK, "00" + KEY.hex())).startswith("80 0f")
        assert (await probe.request(UNLOCK, ENTER)).startswith("82 0f")
        assert (await probe.request(UNLOCK, ENTER)).startswith("82 00")
        assert (await probe.request(UNLOCK, "00" + KEY.hex())).startswith("80 00")
        assert (await probe.request(UNLOCK, ENTER)).startswith("82 0f")
        assert (await probe.request(UNLOCK, "01" + 16 * "00")).startswith("81 04")
        assert (await probe.request(UNLOCK, OPEN)).startswith("81 00")
    assert cuff.key == KEY


async def test_it_goes_to_sleep_and_wakes_up(bench: Bench) -> None:
    woken: list[int] = []
    cuff = Cuff(Memory("HEM-7361T"), key=KEY)
    transfers = Transfers(cuff, awake_s=0.2, wakes_after_s=0.2, on_wake=lambda: woken.append(1))
    peripheral = VirtualPeripheral("BLEsmart_0000", ADDRESS, [transfers.part()])
    async with asyncio.timeout(20):
        await bench.air.add(peripheral)
        await peripheral.appear()
        for _ in range(2):
            probe = Probe(peripheral, await bench.connect(peripheral.name))
            await probe.subscribe(RX[0])
            await peripheral.unlinked.wait()
    assert woken == [1]


async def test_it_dies_in_the_middle_if_it_is_asked_to(bench: Bench) -> None:
    cuff = Cuff(Memory("HEM-7380T1"))
    async with asyncio.timeout(10):
        probe = await link(bench, cuff, dies_after=(2,))  # type: ignore[arg-type]
        answers = await probe.subscribe(RX[0])
        await probe.subscribe(UNLOCK)
        greeting = "11 01 02 03 04" + 15 * " 00"
        assert (await probe.request(UNLOCK, greeting)) == "91 00 01 02 03 04"
        for request in (START, "0801000010080011"):
            await probe.write(TX, request)
            await answers.get()
        await probe.peripheral.unlinked.wait()


def test_it_answers_nothing_while_it_is_locked_or_has_no_session() -> None:
    cuff = Cuff(Memory("HEM-7361T"), key=KEY)
    assert cuff.answer(bytes.fromhex(START)) is None
    cuff.unlock(bytes.fromhex(OPEN))
    refused = cuff.answer(bytes.fromhex("0801000098100081"))
    assert refused is not None
    assert refused.hex() == "088f000000000186"
    started = cuff.answer(bytes.fromhex(START))
    assert started is not None
    assert started[:6].hex() == "188000000010"
    assert cuff.answer(bytes.fromhex("0801000098100080")) is None, "a wrong checksum"
    cuff.begin_link()
    assert cuff.answer(bytes.fromhex(START)) is None


def test_what_was_never_written_is_not_sent() -> None:
    cuff = Cuff(Memory("HEM-7361T"), key=KEY)
    cuff.unlock(bytes.fromhex(OPEN))
    cuff.answer(bytes.fromhex(START))
    answer = cuff.answer(bytes.fromhex("0801000098100081"))
    assert answer is not None
    assert answer.hex() == "0881000098100001"


def test_a_write_is_noted() -> None:
    cuff = Cuff(Memory("HEM-7361T"), key=KEY)
    cuff.unlock(bytes.fromhex(OPEN))
    cuff.answer(bytes.fromhex(START))
    frame = bytes.fromhex("0a01c0001002abcd00")
    assert cuff.answer(frame + bytes([checksum(frame)])) is not None
    assert cuff.written == [0x0010]
    assert cuff.memory.read(0x0010, 2).hex() == "abcd"


@pytest.mark.parametrize("model", MAPS)
def test_a_ring_that_is_full_begins_again(model: str) -> None:
    memory = Memory(model)
    where = memory.map
    at = datetime(2026, 6, 17, 19, 35, 30)  # noqa: DTZ001 - a cuff knows no zone
    for number in range(where.records):
        memory.store(1, Reading(at, 120, 80, 60 + number % 9))
    cursor = int.from_bytes(memory.read(where.index, 2), where.order)
    # As of a full HEM-7140T1 in userx14/omblepy #39.
    assert cursor == 0x4000
    memory.store(1, Reading(at, 126, 88, 84))
    record = memory.read(where.users[0], 8)
    # The record of a HEM-7142T2 in hass-omron, and its words for the other order of bytes.
    assert record.hex() in {"6558541a331ade18", "58651a541a3318de"}
