"""Fitness machines, and sensors next to them, as users reported them.

Numbers such as b1 and t5 belong to the reports that are named in each test.
"""

import asyncio
import json
import struct
from collections.abc import Iterable
from typing import Any

import pytest

from healthd.simulator.attributes import Number, notifying, readable
from healthd.simulator.feed import ControlPoint, Feed, paced
from healthd.simulator.part import Part
from tests.end_to_end.simulated_gateway import add
from tests.field.rig import (
    SUCCESS,
    Field,
    Machine,
    P,
    at_once,
    device,
    machine_features,
    part,
    raw,
    silent,
)

FITNESS_MACHINE = 0x1826
INVALID_PARAMETER = 3
MPH = 0.44704


def ftms(uuid: Number, *values: str) -> Part:
    """Return a fitness machine that sends these values and nothing else."""
    return part(FITNESS_MACHINE, {notifying(uuid): at_once(*values)})


# Sources: cagnulein/qdomyos-zwift #4624 (b1), #2511 (b2), #653 and #1118 (b3), PR #4013 (b9);
# hughesjs/FitnessMachine, dudanov/pyftms (b11).
@pytest.mark.parametrize(
    ("name", "uuid", "value", "kind", "right"),
    [
        pytest.param(
            "FS-A1B2C3",
            0x2AD1,
            "00010000006400ffffff",
            "rower",
            {"total_energy_kj": 41.84, "energy_per_hour_kj_per_h": None},
            id="b1-energy-in-tenths-of-a-kcal",
        ),
        pytest.param(
            "T01_1A2B",
            0x2ACD,
            "08000000e8030000",
            "treadmill",
            {"inclination_pct": 15},
            id="b2-inclination-as-a-share-of-15-levels",
        ),
        pytest.param(
            "WHIPR 0815",
            0x2AD1,
            "0000180000",
            "rower",
            {"stroke_rate_spm": 24},
            id="b3-whole-strokes-whipr",
        ),
        pytest.param(
            "KS-WLT-W1",
            0x2AD1,
            "0000180000",
            "rower",
            {"stroke_rate_spm": 24},
            id="b3-whole-strokes-kingsmith",
        ),
        pytest.param(
            "Elliptical",
            0x2ACE,
            "0008000000ff",
            "cross_trainer",
            {"speed_mps": 0, "heart_rate_bpm": None},
            id="b9-255-is-no-heart-rate",
        ),
        pytest.param(
            "WalkingPad",
            0x2ACD,
            "84242c01a401001f00fffffff801640200",
            "treadmill",
            {"step_count": 612, "elapsed_time_s": 504, "total_distance_m": 420},
            id="b11-step-count",
        ),
    ],
)
async def test_a_value_in_the_machine_s_own_way(
    field: Field, name: str, uuid: int, value: str, kind: str, right: dict[str, Any]
) -> None:
    async with field.gateway({"id": "one", "name": name}, device(name, ftms(uuid, value))):
        (sample,) = await field.until_values("one", kind)
    assert {key: sample[key] for key in right} == right


async def test_b2_a_target_inclination_is_written_as_a_share_of_15_levels(field: Field) -> None:
    machine = Machine()
    data = {notifying(0x2ACD): at_once("08000000e8030000")}
    treadmill = part(FITNESS_MACHINE, {**data, **machine.streams})
    entry = {"id": "one", "name": "T01*", "control": {"inclination_pct": [0, 15]}}
    verb = "set_target_inclination"
    async with field.gateway(entry, device("T01_1A2B", treadmill), mqtt={"requests": [verb]}):
        await field.until_info("one", lambda info: info.get("state") == "streaming")
        for level in (15, 1):
            field.request(verb, json.dumps({"peripheral": "one", "inclination_pct": level}))
        await field.until(lambda: changes(field).count("set") == 2)
    assert machine.writes[1:3] == ["03e803", "033c00"]
    assert [event.get("inclination_pct") for event in field.events("control")][1:3] == [15, 1]


async def test_b14_a_treadmill_that_sends_miles_per_hour(field: Field) -> None:
    machine = Machine()
    data = notifying(0x2ACD)
    range_ = readable(0x2AD4, struct.pack("<HHH", 50, 1200, 10))
    # 6 mph, and 1000 m.
    streams = {data: at_once("0400 5802 e80300"), **machine.streams}
    treadmill = part(FITNESS_MACHINE, streams, range_)
    entry = {
        "id": "one",
        "name": "Treadmill",
        "speed_factor": 1.609344,
        "control": {"speed_mps": [0, 8]},
    }
    verb = "set_target_speed"
    async with field.gateway(entry, device("Treadmill", treadmill), mqtt={"requests": [verb]}):
        (sample,) = await field.until_values("one", "treadmill")
        info = await field.until_info("one", lambda info: "max_mps" in str(info))
        field.request(verb, json.dumps({"peripheral": "one", "speed_mps": 5 * MPH}))
        await field.until(lambda: "set" in changes(field))
        field.request(verb, json.dumps({"peripheral": "one", "speed_mps": 6}))
        await field.until(lambda: "refused" in changes(field))
    assert sample["speed_mps"] == pytest.approx(6 * MPH, abs=1e-3)
    assert sample["total_distance_m"] == 1000
    assert info["supported_speed_range"]["max_mps"] == pytest.approx(12 * MPH, abs=1e-3)
    assert machine.writes[1] == (b"\x02" + struct.pack("<H", 500)).hex()
    refusal = next(one for one in field.events("control") if one["change"] == "refused")
    assert "the machine says 0.224 to 5.364" in refusal["detail"]


async def test_t5_a_wristband_that_advertises_no_service(field: Field) -> None:
    # ryanbr/noop #1061, #1997, #791: WHOOP 4 and 5.
    heart_rate = part(0x180D, {notifying(0x2A37): at_once("10484003")}, advertised=False)
    vendor = part(
        "61080001-8d6d-82b8-614a-1c8cb0f8dcc6",
        {},
        raw("61080002-8d6d-82b8-614a-1c8cb0f8dcc6", P.WRITE),
        advertised=False,
    )
    battery = part(0x180F, {}, readable(0x2A19, b"\x64"), advertised=False)
    band = device("WHOOP 4A0123", heart_rate, vendor, battery)
    async with field.gateway({"id": "one", "name": "WHOOP*"}, band):
        (sample,) = await field.until_values("one", "heart_rate")
        (level,) = await field.until_values("one", "battery")
    assert (sample["heart_rate_bpm"], sample["rr_intervals_ms"]) == (72, [812.5])
    assert level["level_pct"] == 100


async def test_t6_a_treadmill_without_features_and_control_point(field: Field) -> None:
    # dudanov/python-pyftms PR #54: Sole F65, only Treadmill Data; a byte too many in each packet.
    treadmill = ftms(0x2ACD, "0400e0010a0000aa")
    entry = {"id": "one", "service": "fitness_machine", "control": {"speed_mps": [0, 2]}}
    verb = "set_target_speed"
    async with field.gateway(entry, device("F65", treadmill), mqtt={"requests": [verb]}):
        (sample,) = await field.until_values("one", "treadmill")
        await field.until_info("one", lambda info: info.get("state") == "streaming")
        field.request(verb, json.dumps({"peripheral": "one", "speed_mps": 1}))
        await field.until(lambda: "refused" in changes(field))
    assert sample["speed_mps"] == pytest.approx(4.8 / 3.6, abs=1e-3)
    assert (sample["total_distance_m"], sample["trailing_bytes"]) == (10, 1)
    (refusal,) = field.events("control")
    assert (refusal["change"], refusal["reason"]) == ("refused", "not_supported")
    assert refusal["detail"] == "the device has no fitness machine control point"


async def test_t7_a_watch_that_drops_its_link_again_and_again(field: Field) -> None:
    # VRCOSC-BluetoothHeartrate #3: an Amazfit Bip drops the link after half a minute, forever.
    sent: list[int] = []

    def rates(_elapsed: float) -> Iterable[bytes]:
        sent.append(60 + len(sent) % 40)
        return [bytes([0, sent[-1]])]

    watch = device("Amazfit Bip", part(0x180D, {notifying(0x2A37): paced(rates, 0.05)}))
    async with field.gateway({"id": "one", "name": "Amazfit*"}, watch):
        for link in range(1, 4):
            number = len(field.received("one", "heart_rate"))
            await field.until_values("one", "heart_rate", number + 5)
            assert watch.links == link
            await watch.drop()
        await field.until(lambda: len(field.events("gap")) == 3)
        number = len(field.received("one", "heart_rate"))
        rates_seen = await field.until_values("one", "heart_rate", number + 5)
    assert [gap["reason"] for gap in field.events("gap")] == ["link_lost"] * 3
    # Each sample that arrived was sent, in this order, and once.
    seen = iter(sent)
    assert all(sample["heart_rate_bpm"] in seen for sample in rates_seen)


def record(number: int) -> bytes:
    """Return a glucose record: 105 mg/dL at 08:<number> on 2026-07-01."""
    return struct.pack("<BHHBBBBBHB", 0x02, number, 2026, 7, 1, 8, number, 0, 0xB000 | 105, 0x11)


@pytest.mark.parametrize(
    ("how", "number"), [("no records after the record", 7), ("success before the record", 8)]
)
async def test_t8_a_meter_whose_answer_does_not_fit_its_records(
    field: Field, how: str, number: int
) -> None:
    # GlycemicGPT PR #847: the record comes, and then "no records found".
    records = Feed()

    def answer(_request: bytes) -> bytes | None:
        if how == "success before the record":
            asyncio.get_running_loop().call_later(0.2, records.put, record(number))
            return bytes([6, 0, 1, 1])
        records.put(record(number))
        asyncio.get_running_loop().call_later(0.2, point.feed.put, bytes([6, 0, 1, 6]))
        return None

    point = ControlPoint(0x2A52, answer)
    streams = {notifying(0x2A18): records.payloads, point.characteristic: point.feed.payloads}
    meter = device("Meter", part(0x1808, streams, readable(0x2A51, b"\0\0")))
    entry = {"id": "one", "name": "Meter", "every": "1h", "window": "20s"}
    async with field.gateway(entry, meter):
        (sample,) = await field.until_values("one", "glucose")
        await field.until(lambda: bool(field.events("fetch")))
    # 105 mg/dL, at 18.0156 mg/dL per mmol/L.
    assert sample["glucose_mmol_per_l"] == pytest.approx(105 / 18.0156, abs=0.01)
    assert sample["sequence_number"] == number
    (run,) = field.events("fetch")
    assert (run["outcome"], run["samples"]) == ("new_data", 1)


async def test_t8_a_meter_that_cannot_select_its_records(field: Field) -> None:
    # GlycemicGPT PR #847: "operator not supported" to all records from a number on.
    records = Feed()

    def answer(request: bytes) -> bytes | None:
        if request[:2] == b"\x01\x03":
            return bytes([6, 0, 1, 4])
        records.put(record(9))
        asyncio.get_running_loop().call_later(0.2, point.feed.put, bytes([6, 0, 1, 1]))
        return None

    point = ControlPoint(0x2A52, answer)
    streams = {notifying(0x2A18): records.payloads, point.characteristic: point.feed.payloads}
    meter = device("Meter", part(0x1808, streams, readable(0x2A51, b"\0\0")))
    entry = {"id": "one", "name": "Meter", "every": "1h", "window": "20s"}
    async with field.gateway(entry, meter, mqtt={"requests": ["fetch"]}):
        await field.until(lambda: len(field.events("fetch")) == 1)
        field.request("fetch", json.dumps({"peripheral": "one"}))
        await field.until(lambda: len(field.events("fetch")) == 2)
    # The record was asked for twice, and published once.
    assert [sample["sequence_number"] for sample in field.values("one", "glucose")] == [9]
    assert field.values("one", "glucose/history") == []
    runs = [(run["outcome"], run["samples"]) for run in field.events("fetch")]
    assert runs == [("new_data", 1), ("no_data", 0)]


async def test_t10_a_bike_that_takes_a_resistance_in_one_byte(field: Field) -> None:
    # cagnulein/qdomyos-zwift PR #5075: WLT-BK. Its range has two bytes for a resistance.
    def result(request: bytes) -> int:
        return INVALID_PARAMETER if request[:1] == b"\x04" and len(request) != 2 else SUCCESS

    machine = Machine(result)

    def records(_elapsed: float) -> Iterable[bytes]:
        values = (2500, 160, 120) if machine.started.is_set() else (0, 0, 0)
        return [bytes.fromhex("4400") + struct.pack("<HHh", *values)]

    bike = part(
        FITNESS_MACHINE,
        {
            notifying(0x2AD2): paced(records, 0.1),
            notifying(0x2ADA): silent(),
            **machine.streams,
        },
        machine_features(0x4082, 0x0C),
        readable(0x2AD6, bytes.fromhex("0a00f0000a00")),
    )
    verbs = ["start", "set_target_resistance"]
    async with field.gateway(
        {"id": "one", "name": "WLT-BK*"}, device("WLT-BK-1234", bike), mqtt={"requests": verbs}
    ):
        await field.until_info("one", lambda info: info.get("state") == "streaming")
        field.request("start", json.dumps({"peripheral": "one"}))
        await field.until(
            lambda: any(one.get("power_w") == 120 for one in field.values("one", "indoor_bike"))
        )
        for level in (9.3, 10):
            target = {"peripheral": "one", "resistance_level": level}
            field.request("set_target_resistance", json.dumps(target))
        await field.until(lambda: changes(field).count("set") == 2)
    assert machine.writes[:5] == ["00", "07", "045d00", "045d", "0464"]
    assert "refused" not in changes(field)


async def test_t10_a_second_bike_is_not_taken_for_the_first_one(field: Field) -> None:
    def only(size: int) -> Machine:
        return Machine(
            lambda request: (
                INVALID_PARAMETER if request[:1] == b"\x04" and len(request) != size else SUCCESS
            )
        )

    machines = [only(2), only(3)]
    bikes = [
        device(
            "Bike",
            part(
                FITNESS_MACHINE,
                {notifying(0x2AD2): at_once("0000c409"), **machine.streams},
                readable(0x2AD6, bytes.fromhex("0a00f0000a00")),
            ),
            number=number,
        )
        for number, machine in enumerate(machines, start=1)
    ]
    verb = "set_target_resistance"
    target = json.dumps({"peripheral": "one", "resistance_level": 9.3})
    async with field.gateway(
        {"id": "one", "name": "Bike"}, bikes[0], mqtt={"requests": [verb]}
    ) as air:
        for number, bike in enumerate(bikes, start=1):
            if bike is not bikes[0]:
                await bikes[0].power_off()
                await add(air, bike)
            await field.until(lambda number=number: links(field) == number)
            field.request(verb, target)
            await field.until(lambda number=number: changes(field).count("set") == number)
    assert [machine.writes[:3] for machine in machines] == [
        ["00", "045d00", "045d"],
        ["00", "045d00", "01"],
    ]


# GoldenCheetah #4774, an SRM PM9: three counts with one event time, a reset, and a ride.
SRM = (
    "2f00000064640d50016b6b",
    "2f00000064640d51016b6b",
    "2f00000064640d52016b6b",
    "2f0021000eb4040e00d91d",
    "2f002100101306 0f003026",
    "2f0022000e6d0710002c2e",
    "2f001f0012a1081100f735",
)
# OsmAnd #25521: the wheel turns once a second; the crank counts while its event time stands still.
DUOTRAP = (
    "030a000000000405000008",
    "030b000000000805000008",
    "030c000000000c06000008",
    "030d000000001007000008",
    "030e00000000140800000c",
)


async def test_t12_a_meter_that_counts_without_moving_its_clock(field: Field) -> None:
    data = notifying(0x2A63)
    features = readable(0x2A65, struct.pack("<I", 0x0F))
    meter = part(0x1818, {data: at_once(*SRM)}, features)
    async with field.gateway({"id": "one", "name": "SRM*"}, device("SRM PM9", meter)):
        samples = await field.until_values("one", "cycling_power", len(SRM))
    # By the event times: 2135, 2044 and 1995 of 1024 ticks a second for one revolution each.
    assert [sample.get("cadence_rpm") for sample in samples] == [
        *[None] * 4,
        *(pytest.approx(61440 / ticks, abs=0.1) for ticks in (2135, 2044, 1995)),
    ]
    assert [sample["power_w"] for sample in samples] == [0, 0, 0, 33, 33, 34, 31]


async def test_t12_a_sensor_whose_crank_counts_without_moving_its_clock(field: Field) -> None:
    data = notifying(0x2A5B)
    features = readable(0x2A5C, struct.pack("<H", 3))
    sensor = part(0x1816, {data: at_once(*DUOTRAP)}, features)
    async with field.gateway({"id": "one", "name": "DuoTrap*"}, device("DuoTrap S", sensor)):
        samples = await field.until_values("one", "cycling_speed_cadence", len(DUOTRAP))
    speeds = [sample.get("speed_mps") for sample in samples]
    # One revolution of 2.105 m a second.
    assert speeds == [None, *[pytest.approx(2.105, abs=1e-3)] * 4]
    assert [sample.get("cadence_rpm") for sample in samples] == [*[None] * 4, 60]


def changes(field: Field) -> list[str]:
    return [event["change"] for event in field.events("control")]


def links(field: Field) -> int:
    return [event["change"] for event in field.events("link")].count("up")
