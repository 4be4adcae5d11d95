"""A Polar H10 over a link: heart rate, and raw signals on request."""

import asyncio
import random
import struct
from itertools import pairwise

import pytest
from bleak.exc import BleakGATTProtocolError

from healthd.simulator.polar.streams import ACC, ECG, KINDS, SensorClock, Stream
from tests.unit.simulator.bench import Bench, Inbox
from tests.unit.simulator.probe import Probe, probe, until

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
START_ECG = "02 00 00 01 82 00 01 01 0e 00"
START_ACC = "02 02 00 01 c8 00 01 01 10 00 02 01 04 00"
# The start of an H10's clock: 2019-01-01 in nanoseconds since 2000-01-01.
EPOCH = 599_616_000_000_000_000


async def sensor(bench: Bench) -> tuple[Probe, Inbox]:
    """Return a sensor with subscribed control point and data, and the queue of its data."""
    h10 = await probe(bench, "polar_pmd", period=0.05)
    data = await h10.subscribe(DATA)
    await h10.subscribe(CONTROL)
    return h10, data


async def test_services_and_supported_settings(bench: Bench) -> None:
    async with asyncio.timeout(10):
        h10, _ = await sensor(bench)
        assert (await h10.read(CONTROL)).hex(" ") == "0f 05 00"
        assert await h10.request(CONTROL, "01 00") == "f0 01 00 00 00 00 01 82 00 01 01 0e 00"
        assert await h10.request(CONTROL, "01 02") == (
            "f0 01 02 00 00 00 04 19 00 32 00 64 00 c8 00 01 01 10 00 02 03 02 00 04 00 08 00"
        )
        assert (await h10.values("2a37", 1))[0][0] & 0b110 == 0b110
        assert await h10.read("2a24") == b"H10"
        assert 0 < (await h10.read("2a19"))[0] <= 100


async def test_ecg_shows_heartbeats(bench: Bench) -> None:
    async with asyncio.timeout(20):
        h10, data = await sensor(bench)
        assert await h10.request(CONTROL, START_ECG) == "f0 02 00 00 00"
        frames = [await data.get() for _ in range(6)]
        assert await h10.request(CONTROL, "03 00") == "f0 03 00 00 00"
    times: list[int] = []
    voltages: list[int] = []
    for frame in frames:
        kind, time, layout = struct.unpack_from("<BQB", frame)
        assert (kind, layout, len(frame)) == (0, 0, 10 + 73 * 3)
        times.append(time)
        voltages += [
            int.from_bytes(frame[at : at + 3], "little", signed=True) for at in range(10, 229, 3)
        ]
    assert EPOCH < times[0] < EPOCH + 86400 * 10**9
    nominal = 73 / 130 * 1e9
    assert all(b - a == pytest.approx(nominal, rel=1e-6) for a, b in pairwise(times))
    # 3.4 s at 60 to 72 beats per minute: three or four R waves, about a second apart.
    assert min(voltages) > -500
    peaks = [
        at
        for at in range(1, len(voltages) - 1)
        if voltages[at] > 500 and voltages[at - 1] <= voltages[at] > voltages[at + 1]
    ]
    assert len(peaks) in (3, 4)
    assert all(0.75 < (b - a) / 130 < 1.1 for a, b in pairwise(peaks))


async def test_two_streams_of_which_one_is_stopped(bench: Bench) -> None:
    async with asyncio.timeout(20):
        h10, data = await sensor(bench)
        assert await h10.request(CONTROL, START_ECG) == "f0 02 00 00 00"
        assert await h10.request(CONTROL, START_ACC) == "f0 02 02 00 00"
        await until(data, lambda frame: frame[0] == 0)
        frame = await until(data, lambda frame: frame[0] == 2)
        assert (frame[9], len(frame)) == (1, 10 + 36 * 6)
        for x, y, z in struct.iter_unpack("<3h", frame[10:]):
            # One g in total, mostly along the body.
            assert 960 < (x * x + y * y + z * z) ** 0.5 < 1040
            assert y < -900
        assert await h10.request(CONTROL, "03 00") == "f0 03 00 00 00"
        while not data.empty():
            data.get_nowait()
        assert {(await data.get())[0] for _ in range(6)} == {2}


async def test_invalid_requests_are_refused(bench: Bench) -> None:
    cases = [
        ("09 00", "f0 09 00 01"),
        ("02 33", "f0 02 33 02"),
        ("01 01", "f0 01 01 03"),  # PPG: an H10 has no optical sensor
        ("02", "f0 02 00 04"),
        ("02 00 00 01 82", "f0 02 00 04"),
        ("02 00 00 01 82 00", "f0 02 00 05"),  # no resolution
        ("02 00 02 01 04 00", "f0 02 00 05"),  # ECG has no range
        ("03 00", "f0 03 00 06"),
        ("02 00 00 01 82 00 01 01 10 00", "f0 02 00 07"),
        ("02 00 00 01 83 00 01 01 0e 00", "f0 02 00 08"),
        ("02 02 00 01 c8 00 01 01 10 00 02 01 10 00", "f0 02 02 09"),
    ]
    async with asyncio.timeout(10):
        h10, data = await sensor(bench)
        for request, response in cases:
            assert await h10.request(CONTROL, request) == response, request
        assert data.empty()


async def test_streams_end_with_the_link(bench: Bench) -> None:
    async with asyncio.timeout(10):
        h10, _ = await sensor(bench)
        await h10.request(CONTROL, START_ECG)
        assert await h10.request(CONTROL, START_ECG) == "f0 02 00 06"
        await h10.client.disconnect()
        again = Probe(h10.peripheral, await bench.connect(h10.peripheral.name))
        with pytest.raises(BleakGATTProtocolError) as refused:
            await again.write(CONTROL, START_ECG)
        assert refused.value.code == 0xFD
        await again.subscribe(CONTROL)
        assert await again.request(CONTROL, START_ECG) == "f0 02 00 00 00"


def test_frame_is_due_at_the_time_of_its_last_sample() -> None:
    clock = SensorClock(random.Random(3))
    assert 0 < abs(clock.drift) <= 40e-6
    stream = Stream(KINDS[ECG], 130, clock, lambda _: (1,), started_at=1000.0)
    first = stream.due
    assert first == pytest.approx(1000.0 + 73 / 130, abs=1e-4)
    time = struct.unpack_from("<Q", stream.frame(), 1)[0]
    assert time == clock.at(first)
    stream.frames += 10_000
    # The sensor's clock drifts: after 94 minutes it is off by some milliseconds.
    host_s, sensor_s = stream.due - first, (clock.at(stream.due) - time) / 1e9
    assert sensor_s == pytest.approx(10_001 * 73 / 130, abs=1e-6)
    assert host_s - sensor_s == pytest.approx(-clock.drift * host_s, rel=1e-3)
    assert KINDS[ACC].encode((1, -1, 256)) == bytes.fromhex("0100ffff0001")
