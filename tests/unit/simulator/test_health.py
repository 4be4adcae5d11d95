"""Health devices over a link. The expected layouts were worked out by hand."""

import asyncio
import random
import struct
from contextlib import aclosing
from datetime import datetime

import pytest
from bleak.exc import BleakGATTProtocolError

from healthd.simulator.feed import resting
from healthd.simulator.health.cuff import blood_pressure
from healthd.simulator.health.scale import weight_scale
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from tests.unit.simulator.bench import Bench, characteristic
from tests.unit.simulator.probe import ADDRESS, probe


def moment(data: bytes) -> datetime:
    return datetime(*struct.unpack("<H5B", data))  # noqa: DTZ001 - devices have no time zone


def age_s(data: bytes) -> float:
    return (datetime.now() - moment(data)).total_seconds()  # noqa: DTZ005 - as above


def sfloat(data: bytes) -> float:
    (raw,) = struct.unpack("<H", data)
    mantissa, exponent = raw & 0xFFF, raw >> 12
    mantissa -= 0x1000 * (mantissa > 0x7FF)
    exponent -= 0x10 * (exponent > 7)
    return float(f"{mantissa}e{exponent}")


async def test_thermometer_indicates_results_and_notifies_intermediate_values(
    bench: Bench,
) -> None:
    async with asyncio.timeout(10):
        thermometer = await probe(bench, "health_thermometer", period=0.1)
        await thermometer.subscribe("2a1c")
        intermediates = await thermometer.values("2a1e", 3)
        (result,) = await thermometer.values("2a1c", 1)
        assert (await thermometer.read("2a1d")).hex() == "02"
        assert (await thermometer.read("2a21")).hex() == "0100"
    flags, mantissa = struct.unpack_from("<Bi", result)
    assert flags == 0b110
    assert mantissa >> 24 == -1  # tenths
    assert 36_0 < mantissa & 0xFFFFFF < 38_0
    assert abs(age_s(result[5:12])) < 10
    assert (result[12], len(result)) == (2, 13)
    tenths = [int.from_bytes(value[1:4], "little") for value in intermediates]
    assert {(value[0], value[4], len(value)) for value in intermediates} == {(0, 0xFF, 5)}
    assert tenths == sorted(tenths)
    assert tenths[0] < tenths[-1] < 38_0


async def test_weight_measurement(bench: Bench) -> None:
    async with asyncio.timeout(10):
        scale = await probe(bench, "weight_scale")
        (packet,) = await scale.values("2a9d", 1)
        assert (await scale.read("2a9e")).hex() == "bf010000"
    flags, weight = struct.unpack_from("<BH", packet)
    assert (flags, len(packet)) == (0b1110, 1 + 2 + 7 + 1 + 4)
    assert 66.0 < weight * 0.005 < 84.0
    assert abs(age_s(packet[3:10])) < 10
    user, bmi, height = struct.unpack_from("<BHH", packet, 10)
    assert (user, height) == (1, 1780)
    assert bmi / 10 == pytest.approx(weight * 0.005 / 1.78**2, abs=0.06)


async def test_body_composition_measurement_has_two_packets(bench: Bench) -> None:
    async with asyncio.timeout(10):
        scale = await probe(bench, "body_composition")
        first, last = await scale.values("2a9c", 2)
        assert (await scale.read("2a9b")).hex() == "ffbf0100"
    assert struct.unpack_from("<H", first)[0] == 0b1_0011_1111_1110
    assert struct.unpack_from("<H", last)[0] == 0b1_1100_0000_0110
    # Fat, time and user are the same in both packets, so a client can join them.
    assert first[2:12] == last[2:12]
    fat, user = struct.unpack_from("<H", first, 2)[0] / 10, first[11]
    assert 13.0 < fat < 24.0
    assert user == 1
    weight, height = struct.unpack_from("<HH", last, 12)
    assert (height, len(last)) == (1780, 16)
    basal, muscle_pct, muscle, lean, soft, water, impedance = struct.unpack_from("<7H", first, 12)
    assert len(first) == 26
    kilograms = weight * 0.005
    assert lean * 0.005 == pytest.approx(kilograms * (1 - fat / 100), abs=0.1)
    assert basal == pytest.approx((370 + 21.6 * lean * 0.005) * 4.184, abs=2)
    assert muscle_pct / 10 == pytest.approx(muscle / weight * 100, abs=0.1)
    assert lean > soft > water > muscle
    assert impedance == 4870


async def test_cuff_sends_what_it_has_stored_on_each_link_and_then_new_ones(bench: Bench) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        cuff = await probe(bench, "blood_pressure", period=0.1, record=sent.append)
        results = await cuff.values("2a35", 4)
        assert [round(age_s(result[7:14]) / 86400) for result in results] == [3, 2, 1, 0]
        for result in results:
            assert (result[0], len(result)) == (0b1_1110, 1 + 6 + 7 + 2 + 1 + 2)
            systolic, diastolic, mean = (sfloat(result[at : at + 2]) for at in (1, 3, 5))
            assert 112 <= systolic <= 134
            assert 70 <= diastolic <= 86
            assert mean == pytest.approx(diastolic + (systolic - diastolic) / 3, abs=0.05)
            assert 58 <= sfloat(result[14:16]) <= 78
            assert result[16] == 1
            assert struct.unpack_from("<H", result, 17)[0] in (0, 4)
        pressures = await cuff.values("2a36", 3)
        assert [pressure.hex(" ") for pressure in pressures] == [
            "00 b4 00 ff 07 ff 07",
            "00 a5 00 ff 07 ff 07",
            "00 96 00 ff 07 ff 07",
        ]
        assert (await cuff.read("2a49")).hex() == "0700"
        await cuff.client.disconnect()
        assert [record.payload for record in sent if "2a35" in record.uuid][:4] == results
        again = await bench.connect(cuff.peripheral.name)
        inbox: asyncio.Queue[bytes] = asyncio.Queue()
        await again.start_notify("2a35", lambda _, value: inbox.put_nowait(bytes(value)))
        assert [await inbox.get() for _ in range(4)] == results


async def test_cuff_that_keeps_nothing_sends_stored_measurements_once() -> None:
    parts = blood_pressure(random.Random(1), 0.05, keeps=False)
    [results, _] = parts[0].payloads.values()
    async with asyncio.timeout(10):
        async with aclosing(results()) as first:
            ages = [round(age_s((await anext(first))[7:14]) / 86400) for _ in range(4)]
        async with aclosing(results()) as second:
            ages.append(round(age_s((await anext(second))[7:14]) / 86400))
    assert ages == [3, 2, 1, 0, 0]


async def test_oximeter_measurements(bench: Bench) -> None:
    async with asyncio.timeout(10):
        oximeter = await probe(bench, "pulse_oximeter")
        (value,) = await oximeter.values("2a5f", 1)
        (spot,) = await oximeter.values("2a5e", 1)
        # Both statuses, storage, time, fast values, amplitude; then the supported status bits.
        assert (await oximeter.read("2a60")).hex(" ") == "5f 00 20 03 20 00 00"
    assert (value[0], len(value)) == (0b1_1101, 1 + 4 + 4 + 2 + 3 + 2)
    assert 94 < sfloat(value[1:3]) <= 100
    assert 50 < sfloat(value[3:5]) < 83
    assert value[5:9] == value[1:5]
    assert value[9:11] == bytes.fromhex("2001")  # ongoing, fully qualified
    assert value[11:14] in (bytes(3), b"\x20\x00\x00")
    assert 2.5 < sfloat(value[14:16]) < 6.0
    assert (spot[0], len(spot)) == (0b1111, 1 + 4 + 7 + 2 + 3 + 2)
    assert abs(age_s(spot[5:12])) < 10
    assert spot[12:17] == bytes.fromhex("0001 000000")


async def test_oximeter_sends_stored_spot_checks_on_request(bench: Bench) -> None:
    async with asyncio.timeout(10):
        oximeter = await probe(bench, "pulse_oximeter", period=60.0)
        spots = await oximeter.subscribe("2a5e")
        await oximeter.subscribe("2a52")
        assert await oximeter.request("2a52", "04 01") == "05 00 04 00"
        assert await oximeter.request("2a52", "01 01") == "06 00 01 01"
        stored = [spots.get_nowait() for _ in range(spots.qsize())]
        assert [round(age_s(spot[5:12]) / 3600) for spot in stored] == [4, 3, 2, 1]
        assert {spot[12:14] for spot in stored} == {b"\x00\x02"}
        # They have no sequence number to select them by.
        assert await oximeter.request("2a52", "01 03 01 00 00") == "06 00 01 04"


async def test_clock_of_a_scale_can_be_read_and_set(bench: Bench) -> None:
    async with asyncio.timeout(10):
        scale = await probe(bench, "body_composition")
        now = await scale.read("2a2b")
        assert abs(age_s(now[:7])) < 10
        assert (now[7], now[9], len(now)) == (datetime.now().isoweekday(), 0, 10)  # noqa: DTZ005 - as above
        # Saturday, 2024-06-01 10:20:30.
        await scale.write("2a2b", "e8 07 06 01 0a 14 1e 06 00 01")
        (then,) = await scale.values("2a2b", 1)
        assert 0 <= (moment(then[:7]) - datetime(2024, 6, 1, 10, 20, 30)).total_seconds() < 10  # noqa: DTZ001 - as above
        assert then[7] == 6
        for refused in ("e8 07", "e8 07 0d 01 0a 14 1e 06 00 01"):
            with pytest.raises(BleakGATTProtocolError) as error:
                await scale.write("2a2b", refused)
            assert error.value.code == 0xFC
        assert (await scale.read("2a0f")).hex() == "0400"
        assert (await scale.read("2a14")).hex() == "06010000"


async def test_user_of_a_scale_can_register_and_give_consent(bench: Bench) -> None:
    async with asyncio.timeout(10):
        users = await probe(bench, "weight_scale")
        await users.subscribe("2a9f")
        changes = await users.subscribe("2a99")
        assert (await users.read("2a9a")).hex() == "ff"
        assert await users.request("2a9f", "01 d2 04") == "20 01 01 01"
        assert await changes.get() == b"\x02\x00\x00\x00"
        assert await users.request("2a9f", "02 01 d3 04") == "20 02 05"
        assert await users.request("2a9f", "02 01 d2 04") == "20 02 01"
        assert (await users.read("2a9a")).hex() == "01"
        assert await users.request("2a9f", "04") == "20 04 01 01"
        assert await users.request("2a9f", "01") == "20 01 03"
        assert await users.request("2a9f", "02 01") == "20 02 03"
        assert await users.request("2a9f", "03") == "20 03 02"
        assert (await users.read("2a8e")).hex() == "b200"
        assert (await users.read("2a98")).hex() == "343a"


@pytest.mark.parametrize("last", ["time", "consent"])
async def test_user_scale_sends_nothing_before_time_and_consent(bench: Bench, last: str) -> None:
    async with asyncio.timeout(10):
        scale = await probe(bench, "user_scale")
        weights = await scale.subscribe("2a9d")
        await scale.subscribe("2a9f")
        assert moment((await scale.read("2a2b"))[:7]).year == 2020
        assert await scale.request("2a9f", "02 01 2b 00") == "20 02 05"

        async def set_clock() -> None:
            await scale.write("2a2b", "ea 07 0b 18 07 32 00 02 00 01")

        async def consent() -> None:
            assert await scale.request("2a9f", "02 01 2a 00") == "20 02 01"

        first, then = (consent, set_clock) if last == "time" else (set_clock, consent)
        await first()
        await asyncio.sleep(0.2)  # ten times the period of the scale
        assert weights.empty()
        await then()
        packet = await weights.get()
    assert 0 <= (moment(packet[3:10]) - datetime(2026, 11, 24, 7, 50)).total_seconds() < 10  # noqa: DTZ001 - as above


async def test_resting_device_disconnects_and_does_not_advertise_until_it_appears(
    bench: Bench,
) -> None:
    async with asyncio.timeout(10):
        own, *others = weight_scale(random.Random(1), 0.05)
        scale = VirtualPeripheral("Scale", ADDRESS, [resting(own, packets=2), *others])
        await bench.air.add(scale)
        weights = asyncio.Queue[bytes]()
        for times in (1, 2):
            await scale.appear()
            client = await bench.connect("Scale")
            await client.start_notify("2a9d", lambda _, value: weights.put_nowait(bytes(value)))
            await scale.unlinked.wait()
            assert weights.qsize() == 2 * times
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):  # 25 advertising intervals
                    await bench.find("Scale")


async def test_clock_of_a_thermometer_is_read_only(bench: Bench) -> None:
    async with asyncio.timeout(10):
        thermometer = await probe(bench, "health_thermometer")
        assert abs(age_s((await thermometer.read("2a2b"))[:7])) < 10
        assert characteristic(thermometer.client, "2a2b").properties == ["read"]


@pytest.mark.parametrize(
    ("model", "uuid"), [("generic_health_sensor", "2b8b"), ("physical_activity_monitor", "2b3c")]
)
async def test_devices_without_a_known_layout_send_random_bytes(
    bench: Bench, model: str, uuid: str
) -> None:
    async with asyncio.timeout(10):
        device = await probe(bench, model)
        one, other = await device.values(uuid, 2)
    assert len(one) == len(other) == 14
    assert one != other
