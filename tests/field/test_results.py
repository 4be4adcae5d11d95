"""Results of scales and cuffs as users reported them: while measuring, from memories, by clocks."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from bumble.gatt import Characteristic

from healthd.simulator.attributes import indicating, notifying, readable, writeable
from healthd.simulator.part import Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import BOUND_S, add, address
from tests.field.rig import Field, P, at_once, device, part, raw, script
from tests.support.gate import Gate

CUFF = {"id": "cuff", "name": "1872B"}
ON_ADVERTISING = {"on": "advertising", "rearm": "1s", "window": "20s"}
# medisanabp_ble #1, #6, #10: 2025-07-15 15:00 with 123/80, then 2025-07-13 09:00 with 125/80.
NEW, OLD = "067b0050000000e907070f0f00004600", "067d0050000000e907070d0900004600"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 4.0)


def cuff(*values: str, rests: bool = False, name: str = "1872B") -> VirtualPeripheral:
    """Return a cuff that sends these values on each link."""
    result = indicating(0x2A35)
    if not rests:
        return device(name, part(0x1810, {result: at_once(*values)}, features()))
    return device(name, replace(part(0x1810, {result: then_ends(*values)}, features()), rests=True))


def features() -> Characteristic[bytes]:
    return readable(0x2A49, b"\0\0")


def then_ends(*values: str, pause_s: float = 0.1) -> Payloads:
    """Return a source that ends some time after its last value, as devices that go to sleep."""

    async def payloads() -> AsyncGenerator[bytes, None]:
        for value in values:
            await asyncio.sleep(pause_s)
            yield bytes.fromhex(value)
        await asyncio.sleep(0.3)

    return payloads


def systolic(field: Field, topic: str) -> list[float]:
    return [one["systolic_mmhg"] for one in field.values("cuff", topic)]


async def until_runs(field: Field, number: int) -> None:
    """Wait for runs, and until what they fetched is delivered: results are stored first."""
    await field.until(lambda: len(field.events("fetch")) >= number)
    samples = sum(run["samples"] for run in field.events("fetch"))
    await field.until(lambda: len(samples_of(field)) >= samples)


def samples_of(field: Field) -> set[tuple[str, str]]:
    """Return the ids of all samples of the peripherals that are not intermediate."""
    return {
        (one.topic.removesuffix("/history"), one.json()["id"])
        for one in field.subscriber.messages
        if "/device/" in one.topic and "/intermediate_" not in one.topic and b'"id"' in one.payload
    }


# B4


def mi_scale(flags: int, kg: float) -> str:
    return struct.pack("<BHHBBBBB", flags, round(kg * 200), 2026, 1, 20, 7, 30, 11).hex()


WEIGHING = (
    mi_scale(0x02, 12.4),
    mi_scale(0x02, 55.1),
    mi_scale(0x02, 80.9),
    mi_scale(0x02, 83.6),
    mi_scale(0x22, 82.3),
    mi_scale(0xA2, 82.3),
    mi_scale(0x82, 3.1),
)


def scale(name: str, service: int, uuid: int, *values: str) -> VirtualPeripheral:
    streams = {raw(uuid, P.INDICATE): then_ends(*values, pause_s=0.2)}
    return device(name, replace(part(service, streams), rests=True))


async def test_b4_1_seven_packets_of_one_weighing_are_one_result(field: Field) -> None:
    """A Mi Scale that still sends while the person steps off (openScale PR #1294)."""
    entry = {"id": "scale", "name": "MI_SCALE", **ON_ADVERTISING}
    mi = scale("MI_SCALE", 0x181D, 0x2A9D, *WEIGHING)
    async with field.gateway(entry, mi):
        await until_runs(field, 1)
        retained = await field.retained("scale")
        await mi.appear()
        await until_runs(field, 2)
    [result] = field.values("scale", "weight")
    assert result.items() >= {"weight_kg": 82.3, "stabilized": True}.items()
    assert retained["weight"] == result
    assert "intermediate_weight" not in retained
    assert field.values("scale", "weight/history") == []
    shown = [one["weight_kg"] for one in field.values("scale", "intermediate_weight")]
    assert shown == 2 * [12.4, 55.1, 80.9, 83.6, 3.1]
    async with field.gateway(entry, scale("MI_SCALE", 0x181D, 0x2A9D, *WEIGHING)):
        await until_runs(field, 3)
    assert len(field.values("scale", "weight")) == 1
    outcomes = [(run["outcome"], run["samples"]) for run in field.events("fetch")]
    assert outcomes == [("new_data", 1), ("no_data", 0), ("no_data", 0)]


async def test_b4_2_weight_and_impedance_are_one_result(field: Field) -> None:
    """A Mi Scale 2 sends the weight, and some seconds later the same with the impedance."""

    def packet(flags: int, kg: float, ohm: int = 0) -> str:
        values = (flags, 2026, 1, 20, 7, 30, 11, ohm, round(kg * 200))
        return struct.pack("<HHBBBBBHH", *values).hex()

    entry = {"id": "scale", "name": "MIBFS", **ON_ADVERTISING}
    packets = (
        packet(0x0002, 60.0),
        packet(0x2002, 82.3),
        packet(0x2202, 82.3, 489),
        packet(0xA202, 82.3, 489),
    )
    async with field.gateway(entry, scale("MIBFS", 0x181B, 0x2A9C, *packets)):
        await until_runs(field, 1)
    [result] = field.values("scale", "body_composition")
    assert (result["weight_kg"], result["impedance_ohm"]) == (82.3, 489)
    [shown] = field.values("scale", "intermediate_body_composition")
    assert shown["weight_kg"] == 60.0


# B5


async def test_b5_1_a_cuff_that_sends_its_whole_memory(field: Field) -> None:
    """What it remembers is published once, over links and restarts."""
    entry = {**CUFF, **ON_ADVERTISING}
    both = cuff(NEW, OLD, rests=True)
    async with field.gateway(entry, both):
        await until_runs(field, 1)
        assert (await field.retained("cuff"))["blood_pressure"]["systolic_mmhg"] == 123
        await both.appear()
        await until_runs(field, 2)
    async with field.gateway(entry, cuff(NEW, OLD, rests=True)):
        await until_runs(field, 3)
    assert systolic(field, "blood_pressure") == [123]
    assert systolic(field, "blood_pressure/history") == [125]
    outcomes = [(run["outcome"], run["samples"]) for run in field.events("fetch")]
    assert outcomes == [("new_data", 2), ("no_data", 0), ("no_data", 0)]


async def test_b5_2_an_older_result_on_a_later_link_is_history(field: Field) -> None:
    """It is also history after a restart, and does not replace the newest."""
    async with field.gateway({**CUFF, **ON_ADVERTISING}, cuff(NEW, rests=True)):
        await until_runs(field, 1)
    async with field.gateway({**CUFF, **ON_ADVERTISING}, cuff(OLD, rests=True)):
        await until_runs(field, 2)
        assert (await field.retained("cuff"))["blood_pressure"]["systolic_mmhg"] == 123
    assert systolic(field, "blood_pressure") == [123]
    assert systolic(field, "blood_pressure/history") == [125]


async def test_b5_3_a_memory_in_the_order_of_a_ring_buffer(field: Field) -> None:
    """A Medisana BU5xx that stays linked: the newest is the third of five."""

    def record(upper: int, day: int, hour: int, user: int = 1) -> str:
        values = (0x1E, upper, 79, 93, 2025, 7, day, hour, 0, 0, 61, user, 0)
        return struct.pack("<BHHHHBBBBBHBH", *values).hex()

    memory = [
        record(121, 14, 8),
        record(122, 15, 8),
        record(123, 15, 15),
        record(124, 12, 8),
        record(125, 13, 8),
    ]
    async with field.gateway(CUFF, cuff(*memory)):
        await field.until_values("cuff", "blood_pressure")
        assert (await field.retained("cuff"))["blood_pressure"]["systolic_mmhg"] == 123
    assert systolic(field, "blood_pressure") == [123]
    assert sorted(systolic(field, "blood_pressure/history")) == [121, 122, 124, 125]


async def test_b5_4_a_stop_publishes_what_is_held_back(field: Field) -> None:
    async with field.gateway(CUFF, cuff(OLD, NEW)):
        await field.until_values("cuff", "blood_pressure/history")
    assert systolic(field, "blood_pressure") == [123]


async def test_b5_5_a_clock_that_was_reset_does_not_hide_a_new_result(field: Field) -> None:
    """The battery was changed: the cuff counts from 2000 again."""
    reset = "06820050000000d00701010009004600"  # 2000-01-01 00:09, 130/80
    async with field.gateway({**CUFF, **ON_ADVERTISING}, cuff(NEW, OLD, rests=True)):
        await until_runs(field, 1)
    async with field.gateway({**CUFF, **ON_ADVERTISING}, cuff(NEW, OLD, reset, rests=True)):
        await until_runs(field, 2)
        assert (await field.retained("cuff"))["blood_pressure"]["systolic_mmhg"] == 130
    assert systolic(field, "blood_pressure") == [123, 130]


async def test_b5_a_result_measured_during_an_outage_is_what_stays_retained(
    field: Field,
) -> None:
    async with Gate(field.port) as gate:
        await gate.open()
        field.settings["mqtt"] = {"brokers": [gate.address]}
        device = cuff(OLD)
        async with field.gateway(CUFF, device) as air:
            await field.until_values("cuff", "blood_pressure")
            await gate.cut()
            await device.vanish()
            await add(air, cuff_again := cuff(NEW))
            await cuff_again.subscribed.wait()
            # Longer than a result is held back, and than it may wait for its live delivery.
            await asyncio.sleep(7.0)
            assert systolic(field, "blood_pressure") == [125.0]
            await gate.open()
            # The old one comes again, with its id, if the outage began before its acknowledgement.
            await field.until(lambda: 123.0 in systolic(field, "blood_pressure/history"))
    history = field.received("cuff", "blood_pressure/history")
    (late,) = (one for one in history if one["systolic_mmhg"] == 123.0)
    assert field.received("cuff", "blood_pressure")[-1]["id"] == late["id"]
    assert systolic(field, "blood_pressure") == [125.0, 123.0]
    assert (await field.retained("cuff"))["blood_pressure"]["systolic_mmhg"] == 123.0


# B8


async def test_b8_1_the_pressure_while_a_cuff_inflates_is_no_result(field: Field) -> None:
    """A QardioArm (LibreArm #6, #10): the last whole packet is the result; then it is given up."""

    def pressures(upper: int, lower: int, mean: int, pulse: int | None = None) -> bytes:
        packet = struct.pack("<BHHH", 0 if pulse is None else 4, upper, lower, mean)
        return packet if pulse is None else packet + struct.pack("<H", pulse)

    steps = (
        (0.2, pressures(40, 0, 0)),
        (0.2, bytes.fromhex("008c0000007800")),
        (0.2, pressures(138, 88, 105, 72)),
        (2.5, pressures(60, 0, 0)),
        (0.2, pressures(0x7FF, 2, 0)),
    )
    result = notifying(0x2A35)
    arm = device("QardioARM", part(0x1810, {result: script(*steps)}, features()))
    async with field.gateway({"id": "cuff", "name": "QardioARM"}, arm):
        await field.until_values("cuff", "intermediate_cuff_pressure", 4)
        retained = await field.retained("cuff")
    [whole] = field.values("cuff", "blood_pressure")
    assert (whole["systolic_mmhg"], whole["diastolic_mmhg"], whole["pulse_rate_bpm"]) == (
        138,
        88,
        72,
    )
    assert retained["blood_pressure"] == whole
    assert "intermediate_cuff_pressure" not in retained
    shown = field.values("cuff", "intermediate_cuff_pressure")
    assert [one["cuff_pressure_mmhg"] for one in shown] == [40, 140, 60, None]


# B12


@pytest.mark.parametrize(("service", "sets"), [(0x1810, True), (0x181D, True), (0x1810, False)])
async def test_b12_1_a_clock_in_the_service_of_the_results_is_set(
    field: Field, service: int, sets: bool
) -> None:
    """A&D's cuffs and scales have Date Time (2A08) there, and no Current Time service."""
    written: list[bytes] = []
    done = asyncio.Event()

    def write(value: bytes) -> None:
        written.append(value)
        done.set()

    stream = {indicating(0x2A35 if service == 0x1810 else 0x2A9D): script()}
    clock = writeable(0x2A08, write, read=lambda: bytes(7))
    other = VirtualPeripheral("A&D_UA-651BLE", address(1), [part(service, stream, clock)])
    entry = {"id": "cuff", "name": "A&D*", "set_clock": sets}
    async with field.gateway(entry, other):
        if sets:
            async with asyncio.timeout(BOUND_S):
                await done.wait()
        else:
            await field.until_info("cuff", lambda info: info.get("state") == "streaming")
            await asyncio.sleep(1.0)
    assert len(written) == sets
    for value in written:
        shown = datetime(*struct.unpack("<H5B", value))  # noqa: DTZ001 - the clock has no zone
        now = datetime.now()  # noqa: DTZ005 - as above
        assert abs(now - shown) < timedelta(minutes=1)


async def test_b12_2_a_clock_of_the_current_time_service_is_set_only_there(field: Field) -> None:
    written: list[str] = []
    done = asyncio.Event()

    def write_to(uuid: str, value: bytes) -> None:
        written.append(uuid)
        done.set()

    stream = {indicating(0x2A35): script()}
    own = writeable(0x2A08, lambda value: write_to("2a08", value))
    current = part(0x1805, {}, writeable(0x2A2B, lambda value: write_to("2a2b", value)))
    other = device("Cuff", part(0x1810, stream, own), replace(current, advertised=False))
    async with field.gateway({"id": "cuff", "name": "Cuff"}, other):
        async with asyncio.timeout(BOUND_S):
            await done.wait()
        await asyncio.sleep(1.0)
    assert written == ["2a2b"]
