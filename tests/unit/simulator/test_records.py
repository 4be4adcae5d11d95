"""Devices that send stored records on request: glucose meter and glucose monitor."""

import asyncio
import struct
from datetime import datetime
from itertools import pairwise

import pytest
from bleak.exc import BleakGATTProtocolError

from healthd.simulator.part import Sent
from tests.unit.simulator.bench import Bench, Inbox
from tests.unit.simulator.probe import Probe, probe

RACP, GLUCOSE, CONTEXT, CGM, OPS = "2a52", "2a18", "2a34", "2aa7", "2aac"


def drained(inbox: Inbox) -> list[bytes]:
    return [inbox.get_nowait() for _ in range(inbox.qsize())]


async def meter(bench: Bench) -> tuple[Probe, Inbox, Inbox]:
    """Return a glucose meter with subscriptions, and the queues of its results and contexts."""
    device = await probe(bench, "glucose")
    results, contexts = await device.subscribe(GLUCOSE), await device.subscribe(CONTEXT)
    await device.subscribe(RACP)
    return device, results, contexts


def number(record: bytes) -> int:
    return int(struct.unpack_from("<H", record, 1)[0])


async def test_meter_reports_all_records_and_then_responds(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device, results, contexts = await meter(bench)
        assert (await device.read("2a51")).hex() == "2500"
        assert results.empty()  # nothing is sent without a request
        assert await device.request(RACP, "01 01") == "06 00 01 01"
        # The response came after all records.
        records, more = drained(results), drained(contexts)
    first = number(records[0])
    assert [number(record) for record in records] == [*range(first, first + 8)]
    assert [number(context) for context in more] == [number(r) for r in records if r[0] & 16]
    assert len(more) == 4
    for record in records:
        assert (record[0] & 0b1111, len(record)) == (0b1011, 1 + 2 + 7 + 2 + 2 + 1 + 2)
        raw, place, status = struct.unpack_from("<HBH", record, 12)
        assert raw >> 12 == 0b1011  # 1e-5 kg/L, which is 1 mg/dL
        assert (120 <= raw & 0xFFF <= 165) if record[0] & 16 else (75 <= raw & 0xFFF <= 110)
        assert (place, status) == (0x12, 0)
        assert record[10:12] == b"\x3c\x00"
    bases = [datetime(*struct.unpack_from("<H5B", record, 3)) for record in records]  # noqa: DTZ001 - devices have no time zone
    assert {round((b - a).total_seconds() / 3600) for a, b in pairwise(bases)} == {6}
    for context in more:
        assert (context[0], len(context)) == (0b1_1111, 1 + 2 + 3 + 1 + 1 + 3 + 3)
        assert context[3] == 2
        assert struct.unpack_from("<H", context, 4)[0] & 0xF000 == 0xD000  # grams
        assert context[6:8] == bytes([2, 0x51])
        assert context[8:11] == bytes.fromhex("0807 3c")
        assert context[11:] == bytes.fromhex("01 06a0")  # 6e-6 kg


async def test_meter_reports_selected_records(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device, results, _ = await meter(bench)
        await device.request(RACP, "01 01")
        records = drained(results)
        third, fifth = (struct.pack("<H", number(records[at])).hex() for at in (2, 4))
        for request, expected in (
            (f"01 02 01 {third}", records[:3]),
            (f"01 03 01 {third}", records[2:]),
            (f"01 04 01 {third} {fifth}", records[2:5]),
            ("01 05", records[:1]),
            ("01 06", records[-1:]),
        ):
            assert await device.request(RACP, request) == "06 00 01 01"
            assert drained(results) == expected, request
        assert await device.request(RACP, "04 01") == "05 00 08 00"
        assert await device.request(RACP, f"04 03 01 {fifth}") == "05 00 04 00"


async def test_meter_responds_to_unsupported_requests(bench: Bench) -> None:
    cases = [
        ("01 03 01 ff ff", "06 00 01 06"),  # no matching record: a response, not an error
        ("04 03 01 ff ff", "05 00 00 00"),
        ("02 01", "06 00 02 02"),  # deleting is refused
        ("08 01", "06 00 08 02"),
        ("01 00", "06 00 01 03"),
        ("01", "06 00 01 03"),
        ("01 07", "06 00 01 04"),
        ("01 01 01", "06 00 01 05"),
        ("01 03 01 00", "06 00 01 05"),
        ("01 04 01 05 00 04 00", "06 00 01 05"),
        ("01 03 02 00 00", "06 00 01 09"),
        ("03 00", "06 00 03 07"),  # nothing to abort
    ]
    async with asyncio.timeout(10):
        device, results, _ = await meter(bench)
        for request, response in cases:
            assert await device.request(RACP, request) == response, request
        assert results.empty()


async def test_report_can_be_aborted(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, "continuous_glucose", period=60.0)
        readings = await device.subscribe(CGM)
        await device.subscribe(RACP)
        await device.write(RACP, "01 01")
        await readings.get()
        assert await device.request(RACP, "03 00") == "06 00 03 01"
        assert readings.qsize() < 11
        # The report ended without a response of its own, and the next one is complete.
        drained(readings)
        assert await device.request(RACP, "01 01") == "06 00 01 01"
        assert readings.qsize() == 12


async def test_second_procedure_is_refused_while_one_runs(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, "continuous_glucose", period=60.0)
        await device.subscribe(CGM)
        answers = await device.subscribe(RACP)
        await device.write(RACP, "01 01")
        with pytest.raises(BleakGATTProtocolError) as refused:
            await device.write(RACP, "04 01")
        assert refused.value.code == 0xFE
        assert await answers.get() == bytes.fromhex("06000101")
        assert await device.request(RACP, "04 01") == "05 00 0c 00"


async def test_meter_refuses_requests_without_subscriptions(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, "glucose")
        for _ in range(2):  # without the subscription to responses, then without that to records
            with pytest.raises(BleakGATTProtocolError) as refused:
                await device.write(RACP, "01 01")
            assert refused.value.code == 0xFD
            await device.subscribe(RACP)


async def test_records_are_sent_again_on_the_next_link(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device, results, _ = await meter(bench)
        await device.request(RACP, "01 01")
        records = drained(results)
        await device.client.disconnect()
        again = Probe(device.peripheral, await bench.connect(device.peripheral.name))
        results = await again.subscribe(GLUCOSE)
        await again.subscribe(RACP)
        assert await again.request(RACP, "01 01") == "06 00 01 01"
        assert drained(results) == records


def crc(data: bytes) -> int:
    """Return the CRC-16/MCRF4XX, bit by bit and with the polynomial that is not reflected."""
    register = 0xFFFF
    for byte in data:
        for bit in range(8):
            top = register >> 15 ^ byte >> bit & 1
            register = (register << 1 & 0xFFFF) ^ (0x1021 if top else 0)
    return int(f"{register:016b}"[::-1], 2)


def checked(data: bytes) -> bytes:
    """Check the checksum at the end and return the data before it."""
    assert crc(data[:-2]) == int.from_bytes(data[-2:], "little")
    return data[:-2]


async def test_monitor_sends_readings_with_checksums(bench: Bench) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        device = await probe(bench, "continuous_glucose", record=sent.append)
        readings = [checked(value) for value in await device.values(CGM, 3)]
        assert len(checked(await device.read("2aa8"))) == 4
        assert checked(await device.read("2aa8")).hex() == "01930159"
        status = checked(await device.read("2aa9"))
        assert len(checked(await device.read("2aaa"))) == 9
        assert checked(await device.read("2aab")).hex() == "5001"
    for minutes, reading in zip((60, 65, 70), readings, strict=True):
        size, flags, glucose, offset, octet, trend, quality = struct.unpack("<BBHHBHH", reading)
        assert size == len(reading) + 2 == 13
        assert (flags, octet, offset) == (0b0100_0011, 4, minutes)
        assert 65 < glucose < 145
        assert trend >> 12 == 0xF  # tenths of mg/dL per minute
        assert quality == 0xF3BB  # 95.5 %
    assert status[2:].hex() == "000400"
    assert struct.unpack_from("<H", status)[0] >= 75


async def test_monitor_reports_stored_readings_by_time(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, "continuous_glucose", period=60.0)
        readings = await device.subscribe(CGM)
        await device.subscribe(RACP)
        assert await device.request(RACP, "01 04 01 0a 00 14 00") == "06 00 01 01"
        offsets = [struct.unpack_from("<H", reading, 4)[0] for reading in drained(readings)]
        assert offsets == [10, 15, 20]


async def test_specific_ops_of_a_monitor(bench: Bench) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, "continuous_glucose")
        readings = await device.subscribe(CGM)
        await device.subscribe(OPS)

        async def ask(request: str) -> str:
            data = bytes.fromhex(request)
            with_crc = data + struct.pack("<H", crc(data))
            return checked(bytes.fromhex(await device.request(OPS, with_crc.hex()))).hex(" ")

        assert await ask("02") == "03 05"
        assert await ask("01 0a") == "1c 01 01"
        assert await ask("02") == "03 0a"
        assert await ask("01 00") == "1c 01 05"
        assert await ask("01") == "1c 01 03"
        assert await ask("07 00 00") == "1c 07 02"
        assert await device.request(OPS, "02 00 00") == "1c 02 03 " + struct.pack(
            "<H", crc(b"\x1c\x02\x03")
        ).hex(" ")
        assert await ask("1b") == "1c 1b 01"
        assert checked(await device.read("2aa9"))[2:].hex() == "010400"
        drained(readings)
        assert await ask("1a") == "1c 1a 01"
        await readings.get()
        body = bytes.fromhex("ea07 0b 18 0c 00 00 00 00")
        await device.write("2aaa", (body + struct.pack("<H", crc(body))).hex())
        assert checked(await device.read("2aaa")) == body
        with pytest.raises(BleakGATTProtocolError) as refused:
            await device.write("2aaa", (body + b"\x00\x00").hex())
        assert refused.value.code == 0x81
