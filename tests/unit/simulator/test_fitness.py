"""Fitness machines over a link. The expected layouts were worked out by hand."""

import asyncio
import random
import struct
from collections.abc import Callable

import pytest
from bleak.exc import BleakGATTProtocolError

from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.fitness.treadmill import Treadmill, treadmill_part
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.unit.simulator.bench import Bench, Inbox
from tests.unit.simulator.probe import ADDRESS, Probe, probe, until

CONTROL, STATUS, TRAINING, BIKE = "2ad9", "2ada", "2ad3", "2ad2"


def u24(data: bytes) -> int:
    return int.from_bytes(data, "little")


def bike_power(packet: bytes) -> int:
    """Return the power, which follows flags, speed, cadence, distance and resistance."""
    return int(struct.unpack_from("<h", packet, 11)[0])


def elapsed_s(packet: bytes) -> int:
    """Return the machine's elapsed time, at the end of a packet."""
    return int(struct.unpack("<H", packet[-2:])[0])


async def test_bike_data(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike = await probe(bench, "fitness_machine")
        packets = await bike.values(BIKE, 20)
    for packet in packets:
        assert len(packet) == 21
        flags, speed, cadence = struct.unpack_from("<HHH", packet)
        assert flags == 0b0000_1011_0111_0100
        assert 25_00 < speed < 40_00  # 0.01 km/h
        assert 76 * 2 <= cadence <= 96 * 2
        assert 140 <= bike_power(packet) <= 200
        resistance, _, total, per_hour, per_minute, bpm, _ = struct.unpack_from(
            "<hhHHBBH", packet, 9
        )
        assert resistance == 200
        assert total < 5
        assert 500 < per_hour < 700
        assert per_minute == pytest.approx(per_hour / 60, abs=1)
        assert 120 < bpm < 150
    distances = [u24(packet[6:9]) for packet in packets]
    assert distances == sorted(distances)


async def controlled(bench: Bench, model: str) -> tuple[Probe, Inbox]:
    """Return a machine with subscribed control point and status, and the queue of its status."""
    machine = await probe(bench, model)
    await machine.subscribe(CONTROL)
    return machine, await machine.subscribe(STATUS)


async def controlled_part(bench: Bench, part: Part) -> tuple[Probe, Inbox]:
    """Do the same for a part that the test has created, so that it can inspect the machine."""
    peripheral = VirtualPeripheral("Machine", ADDRESS, [part])
    await bench.air.add(peripheral)
    await peripheral.appear()
    machine = Probe(peripheral, await bench.connect("Machine"))
    await machine.subscribe(CONTROL)
    return machine, await machine.subscribe(STATUS)


async def test_bike_follows_a_target_power(bench: Bench) -> None:
    async with asyncio.timeout(15):
        bike, status = await controlled(bench, "fitness_machine")
        records = await bike.subscribe(BIKE)
        assert await bike.request(CONTROL, "00") == "80 00 01"
        assert await bike.request(CONTROL, "05 2c 01") == "80 05 01"  # 300 W
        assert await status.get() == bytes.fromhex("08 2c01")
        before = elapsed_s(await records.get())
        reached = await until(records, lambda packet: abs(bike_power(packet) - 300) <= 3)
        assert elapsed_s(reached) - before < 6


async def test_bike_follows_resistance_and_road(bench: Bench) -> None:
    async with asyncio.timeout(20):
        bike, status = await controlled(bench, "fitness_machine")
        records = await bike.subscribe(BIKE)
        await bike.request(CONTROL, "00")
        assert await bike.request(CONTROL, "04 f4 01") == "80 04 01"
        assert await status.get() == bytes.fromhex("07 f401")
        packet = await until(records, lambda packet: packet[9:11] == b"\xf4\x01")
        await until(records, lambda packet: abs(bike_power(packet) - 260) <= 3)
        fast = struct.unpack_from("<H", packet, 2)[0]
        # No wind, 4 % uphill, Crr 0.0040, Cw 0.51: 270 W, and slower than on the flat.
        assert await bike.request(CONTROL, "11 0000 9001 28 33") == "80 11 01"
        assert await status.get() == bytes.fromhex("12 0000 9001 28 33")
        packet = await until(records, lambda packet: abs(bike_power(packet) - 270) <= 3)
        assert struct.unpack_from("<H", packet, 2)[0] < fast


async def test_bike_can_be_stopped_and_started(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike, status = await controlled(bench, "fitness_machine")
        training = await bike.subscribe(TRAINING)
        records = await bike.subscribe(BIKE)
        assert await bike.read(TRAINING) == b"\x00\x0d"
        await bike.request(CONTROL, "00")
        assert await bike.request(CONTROL, "08 01") == "80 08 01"
        assert await status.get() == b"\x02\x01"
        assert await training.get() == b"\x00\x01"
        stopped = await until(records, lambda packet: bike_power(packet) == 0)
        assert stopped[2:6] == bytes(4)  # neither speed nor cadence
        assert await bike.request(CONTROL, "07") == "80 07 01"
        assert await status.get() == b"\x04"
        assert await training.get() == b"\x00\x0d"
        await until(records, lambda packet: bike_power(packet) > 100)
        assert await bike.request(CONTROL, "01") == "80 01 01"
        assert await status.get() == b"\x01"


async def test_reset_bike_rides_free_and_revokes_control(bench: Bench) -> None:
    async with asyncio.timeout(15):
        bike = Bike(random.Random(1))
        machine, status = await controlled_part(bench, bike_part(bike, 0.02))
        records = await machine.subscribe(BIKE)
        await machine.request(CONTROL, "00")
        await machine.request(CONTROL, "11 0000 9001 28 33")  # 4 % uphill
        await machine.request(CONTROL, "04 f4 01")
        await machine.request(CONTROL, "05 2c 01")  # 300 W
        assert (bike.target_w, bike.road.grade_pct, bike.control.permitted) == (300, 4, True)
        await until(records, lambda packet: abs(bike_power(packet) - 300) <= 3)
        assert await machine.request(CONTROL, "01") == "80 01 01"
        await until(status, lambda value: value == b"\x01")
        assert (bike.target_w, bike.road.grade_pct, bike.control.permitted) == (None, 0, False)
        free = await until(records, lambda packet: bike_power(packet) < 200)
        assert free[9:11] == bytes.fromhex("c800")
        assert await machine.request(CONTROL, "05 2c 01") == "80 05 05"


async def test_reset_treadmill_returns_to_the_defaults(bench: Bench) -> None:
    async with asyncio.timeout(15):
        treadmill = Treadmill(random.Random(1))
        before = (treadmill.target_mps, treadmill.incline_pct)
        machine, status = await controlled_part(bench, treadmill_part(treadmill, 0.02))
        await machine.request(CONTROL, "00")
        await machine.request(CONTROL, "02 b0 04")
        await machine.request(CONTROL, "03 32 00")
        assert (treadmill.target_mps, treadmill.incline_pct) == (pytest.approx(12 / 3.6), 5)
        await machine.request(CONTROL, "01")
        await until(status, lambda value: value == b"\x01")
        assert (treadmill.target_mps, treadmill.incline_pct) == before


async def test_revoked_control_is_reported_and_enforced(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike = Bike(random.Random(1))
        machine, status = await controlled_part(bench, bike_part(bike, 0.02))
        await machine.request(CONTROL, "00")
        bike.control.revoke_control()
        assert await status.get() == b"\xff"
        assert await machine.request(CONTROL, "05 2c 01") == "80 05 05"


async def test_oddities_replace_or_suppress_responses(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike, recorded = Bike(random.Random(1)), list[bytes]()
        bike.control.record = recorded.append
        bike.control.oddities = {0x00: 4, 0x05: None}
        machine, _ = await controlled_part(bench, bike_part(bike, 0.02))
        assert await machine.request(CONTROL, "00") == "80 00 04"
        await machine.write(CONTROL, "05 2c 01")
        bike.control.oddities.clear()
        # There was no response to the second command, so this is the response to the third.
        assert await machine.request(CONTROL, "00") == "80 00 01"
        assert recorded == [b"\x00", b"\x05\x2c\x01", b"\x00"]
        assert bike.target_w is None


async def test_bike_checks_commands(bench: Bench) -> None:
    cases = [
        ("05 e9 03", "80 05 03"),  # 1001 W
        ("05 ff ff", "80 05 03"),  # -1 W
        ("05 64", "80 05 03"),  # half a parameter
        ("05 64 00 00", "80 05 01"),  # an extra byte, as some clients write
        ("08 07", "80 08 03"),
        ("08", "80 08 03"),
        ("02 e8 03", "80 02 02"),  # a bike has no belt
        ("77", "80 77 02"),
    ]
    async with asyncio.timeout(10):
        bike, _ = await controlled(bench, "fitness_machine")
        await bike.request(CONTROL, "00")
        for request, response in cases:
            assert await bike.request(CONTROL, request) == response, request


async def test_control_must_be_requested_and_ends_with_the_link(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike = await probe(bench, "fitness_machine")
        with pytest.raises(BleakGATTProtocolError) as refused:
            await bike.write(CONTROL, "00")
        assert refused.value.code == 0xFD  # the indications are not enabled
        await bike.subscribe(CONTROL)
        assert await bike.request(CONTROL, "05 64 00") == "80 05 05"
        assert await bike.request(CONTROL, "00") == "80 00 01"
        assert await bike.request(CONTROL, "05 64 00") == "80 05 01"
        await bike.client.disconnect()
        again = Probe(bike.peripheral, await bench.connect(bike.peripheral.name))
        await again.subscribe(CONTROL)
        assert await again.request(CONTROL, "05 64 00") == "80 05 05"


async def test_bike_features_and_ranges(bench: Bench) -> None:
    async with asyncio.timeout(10):
        bike = await probe(bench, "fitness_machine")
        # Cadence, distance, resistance, energy, heart rate, elapsed time, power; targets:
        # resistance, power, simulation.
        assert (await bike.read("2acc")).hex(" ") == "86 56 00 00 0c 20 00 00"
        assert (await bike.read("2ad6")).hex(" ") == "00 00 e8 03 01 00"
        assert (await bike.read("2ad8")).hex(" ") == "00 00 e8 03 01 00"


async def test_treadmill_splits_its_records(bench: Bench) -> None:
    async with asyncio.timeout(10):
        machine = await probe(bench, "treadmill")
        packets = await machine.values("2acd", 20)
        assert (await machine.read("2ad4")).hex(" ") == "50 00 d0 07 0a 00"
        assert (await machine.read("2ad5")).hex(" ") == "00 00 96 00 05 00"
    for first, last in zip(packets[::2], packets[1::2], strict=True):
        # More data; distance, inclination, energy. The speed is not in this packet.
        assert first[:2] == bytes([0b1000_1101, 0])
        assert len(first) == 2 + 3 + 4 + 5
        incline, ramp = struct.unpack_from("<hh", first, 5)
        assert (incline, ramp) == (15, 9)
        # Speed, average speed, heart rate, elapsed time.
        flags, speed, average, bpm, _elapsed = struct.unpack("<HHHBH", last)
        assert flags == 0b0000_0101_0000_0010
        assert 9_00 < speed < 11_50
        assert average == pytest.approx(speed, abs=25)
        assert 120 < bpm < 160


async def test_treadmill_follows_targets(bench: Bench) -> None:
    async with asyncio.timeout(20):
        machine, status = await controlled(bench, "treadmill")
        records = await machine.subscribe("2acd")
        await machine.request(CONTROL, "00")
        assert await machine.request(CONTROL, "02 b0 04") == "80 02 01"  # 12 km/h
        assert await status.get() == bytes.fromhex("05 b004")
        assert await machine.request(CONTROL, "03 32 00") == "80 03 01"  # 5 %
        assert await status.get() == bytes.fromhex("06 3200")
        assert await machine.request(CONTROL, "02 01 00") == "80 02 03"
        assert await machine.request(CONTROL, "03 ff ff") == "80 03 03"
        steep = await until(records, lambda packet: packet[0] & 1 == 1 and packet[5] == 50)
        assert steep[5:9] == bytes.fromhex("3200 1d00")  # 2.9 degrees
        await until(
            records,
            lambda packet: (
                packet[0] & 1 == 0 and abs(struct.unpack_from("<H", packet, 2)[0] - 1200) < 30
            ),
        )


def _cross_trainer(packet: bytes) -> None:
    assert packet[:3] == bytes([0b1001_1100, 0b0010_1101, 0])
    speed, _, _, rate, average, _strides, resistance, power = struct.unpack_from(
        "<HHBHHHhh", packet, 3
    )
    assert 6_00 < speed < 10_00
    assert 95 < rate < 125
    assert average == pytest.approx(rate, abs=15)
    assert (resistance, len(packet)) == (60, 3 + 2 + 3 + 4 + 2 + 2 + 2 + 5 + 1 + 2)
    assert 90 < power < 150


def _rower(packet: bytes) -> None:
    flags, rate, _, _, _, pace, power = struct.unpack_from("<HBHHBHh", packet)
    assert (flags, len(packet)) == (0b0000_1011_0010_1100, 2 + 3 + 3 + 2 + 2 + 5 + 1 + 2)
    assert 23 * 2 < rate < 29 * 2
    assert pace == pytest.approx(500 / (rate / 2 * 0.15), abs=4)
    assert 130 < power < 190


def _stair_climber(packet: bytes) -> None:
    flags, _floors, rate, _gain, _strides = struct.unpack_from("<HHHHH", packet)
    assert (flags, len(packet)) == (0b0000_0001_0111_1010, 2 + 2 + 2 + 2 + 2 + 5 + 1 + 2)
    assert 57 < rate < 71


def _step_climber(packet: bytes) -> None:
    flags, _floors, _steps, rate, _gain = struct.unpack_from("<HHHHH", packet)
    assert (flags, len(packet)) == (0b0000_0000_1011_1010, 2 + 4 + 2 + 2 + 5 + 1 + 2)
    assert 57 < rate < 71


@pytest.mark.parametrize(
    ("model", "uuid", "check"),
    [
        ("cross_trainer", "2ace", _cross_trainer),
        ("rower", "2ad1", _rower),
        ("stair_climber", "2ad0", _stair_climber),
        ("step_climber", "2acf", _step_climber),
    ],
)
async def test_data_of_machines_without_control(
    bench: Bench, model: str, uuid: str, check: Callable[[bytes], None]
) -> None:
    async with asyncio.timeout(10):
        machine = await probe(bench, model, period=0.05)
        for packet in (await machine.values(uuid, 8))[2:]:
            check(packet)
