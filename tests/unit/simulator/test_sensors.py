"""Sport sensors over a link. The expected layouts were worked out by hand."""

import asyncio
import math
import struct
from datetime import UTC, datetime

import pytest

from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import probe


def rate(first: tuple[int, int], last: tuple[int, int], ticks: int) -> float:
    """Return revolutions per second between two events, each a count and a 16-bit time."""
    return (last[0] - first[0]) * ticks / ((last[1] - first[1]) % 0x10000)


async def test_speed_sensor_sends_revolutions_and_event_times(bench: Bench) -> None:
    async with asyncio.timeout(20):
        sensor = await probe(bench, "cycling_speed_cadence", period=0.05)
        packets = [struct.unpack("<BIHHH", value) for value in await sensor.values("2a5b", 60)]
        assert (await sensor.read("2a5c")).hex() == "0300"
        assert (await sensor.read("2a5d")).hex() == "0d"
    assert {flags for flags, *_ in packets} == {3}
    # Skip the first packets: there is no event before the first turn.
    (_, *first), (_, *last) = packets[20], packets[-1]
    wheel = rate((first[0], first[1]), (last[0], last[1]), 1024)
    crank = rate((first[2], first[3]), (last[2], last[3]), 1024)
    assert 7.0 < wheel * 2.105 < 10.0
    assert 76 < crank * 60 < 98
    # 20 Hz, and a turn of the crank takes 0.7 s, so most packets repeat the last event.
    assert len({(count, time) for _, _, _, count, time in packets}) < 10


async def test_count_of_a_speed_sensor_can_be_set(bench: Bench) -> None:
    async with asyncio.timeout(10):
        sensor = await probe(bench, "cycling_speed_cadence", period=0.01)
        await sensor.subscribe("2a55")
        assert await sensor.request("2a55", "01 00 ca 9a 3b") == "10 01 01"
        assert struct.unpack("<BIHHH", (await sensor.values("2a5b", 1))[0])[1] == 1_000_000_000
        assert await sensor.request("2a55", "01 00") == "10 01 03"
        assert await sensor.request("2a55", "04") == "10 04 02"


async def test_power_meter_measurements(bench: Bench) -> None:
    async with asyncio.timeout(20):
        meter = await probe(bench, "cycling_power", period=0.05)
        values = await meter.values("2a63", 60)
        feature = await meter.read("2a65")
        battery = await meter.read("2bed")
    packets = [struct.unpack("<HhBHIHHHH", value) for value in values]
    assert feature.hex() == "8f120000"
    assert battery.hex() == "02c1004e"
    assert {packet[0] for packet in packets} == {0b1000_0011_1111}
    assert all(140 < packet[1] < 260 for packet in packets)
    assert all(97 <= packet[2] <= 107 for packet in packets)  # 48.5 % to 53.5 % in halves
    first, last = packets[20], packets[-1]
    wheel = rate((first[4], first[5]), (last[4], last[5]), 2048)
    crank = rate((first[6], first[7]), (last[6], last[7]), 1024)
    assert 7.0 < wheel * 2.105 < 10.0
    assert 76 < crank * 60 < 98
    # Mean power from the torque of complete crank revolutions.
    torque_nm = (last[3] - first[3]) / 32
    turns = last[6] - first[6]
    assert 140 < 2 * math.pi * crank * torque_nm / turns < 260


async def test_power_meter_sends_a_vector_per_revolution(bench: Bench) -> None:
    async with asyncio.timeout(10):
        meter = await probe(bench, "cycling_power", period=0.02)
        await meter.subscribe("2a63")
        vectors = await meter.values("2a64", 3)
    counts: list[int] = []
    for vector in vectors:
        flags, count, _, angle, *torques = struct.unpack("<BHHH12h", vector)
        assert (flags, angle) == (0b0001_1011, 0)
        counts.append(count)
        # 180 W to 220 W at 82 rpm to 92 rpm: a mean of about 22 Nm.
        assert 15 < sum(torques) / 12 / 32 < 30
        assert min(torques) < 0 < max(torques)
    assert counts == [counts[0] + number for number in range(3)]


async def test_power_meter_control_point(bench: Bench) -> None:
    async with asyncio.timeout(10):
        meter = await probe(bench, "cycling_power")
        await meter.subscribe("2a66")
        assert await meter.request("2a66", "05") == "20 05 01 59 01"  # 172.5 mm in halves
        assert await meter.request("2a66", "04 54 01") == "20 04 01"
        assert await meter.request("2a66", "05") == "20 05 01 54 01"
        assert await meter.request("2a66", "04 01 00") == "20 04 03"
        assert await meter.request("2a66", "0c") == "20 0c 01 29 00"
        assert await meter.request("2a66", "01 00 00 00 00") == "20 01 01"
        assert await meter.request("2a66", "01") == "20 01 03"
        assert await meter.request("2a66", "0d 00 00") == "20 0d 02"
        assert struct.unpack_from("<I", (await meter.values("2a63", 1))[0], 7)[0] < 10


async def test_running_pod(bench: Bench) -> None:
    async with asyncio.timeout(10):
        pod = await probe(bench, "running_speed_cadence")
        packets = [struct.unpack("<BHBHI", value) for value in await pod.values("2a53", 20)]
        assert (await pod.read("2a54")).hex() == "0700"
        await pod.subscribe("2a55")
        assert await pod.request("2a55", "01 e8 03 00 00") == "10 01 01"
        assert (await pod.values("2a53", 1))[0][6:8] in (b"\xe8\x03", b"\xe9\x03")
        assert await pod.request("2a55", "01") == "10 01 03"
        assert await pod.request("2a55", "02") == "10 02 02"
    for flags, speed, steps, stride, _ in packets:
        assert flags == 7
        assert 2.4 < speed / 256 < 3.8
        assert 158 < steps < 185
        assert stride / 100 == pytest.approx(speed / 256 / (steps / 120), abs=0.02)
    distances = [packet[4] for packet in packets]
    assert distances == sorted(distances)


async def test_location_pod(bench: Bench) -> None:
    async with asyncio.timeout(10):
        pod = await probe(bench, "location_navigation")
        position = (await pod.values("2a67", 3))[-1]
        direction = (await pod.values("2a68", 1))[0]
        quality = await pod.read("2a69")
        assert (await pod.read("2a6a")).hex() == "ff031000"
    flags, speed = struct.unpack_from("<HH", position)
    assert flags == 0b10_1111_1111
    assert 2_40 < speed < 3_40
    latitude, longitude = struct.unpack_from("<ii", position, 7)
    assert latitude / 1e7 == pytest.approx(48.8625, abs=1e-5)
    assert longitude / 1e7 == pytest.approx(2.2497, abs=1e-5)
    assert 35_00 < int.from_bytes(position[15:18], "little", signed=True) < 41_00
    heading, _rolling = struct.unpack_from("<HB", position, 18)
    assert 20_00 < heading < 70_00
    moment = datetime(*struct.unpack("<H5B", position[21:]), tzinfo=UTC)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 10
    assert struct.unpack_from("<HH", direction) == (0b0100_1111, 4500)
    assert 4990_0 < int.from_bytes(direction[6:9], "little") <= 5000_0
    assert len(direction) == 2 + 2 + 2 + 3 + 3 + 7
    assert quality.hex(" ") == "ff 00 09 0c 2a 00 5e 01 00 00 f4 01 00 00 06 09"
