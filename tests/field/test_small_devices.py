"""Devices with few bytes of a protocol of their makers: CORE sensors and Yonker's cuffs."""

from typing import Any

from bumble.gatt import Characteristic

from healthd.simulator.attributes import notifying
from healthd.simulator.part import Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from tests.field.rig import Field, at_once, device, part

CORE = "00002100-5b1e-4347-b07c-97b514dae121"
CORE_MEASUREMENT = "00002101-5b1e-4347-b07c-97b514dae121"
OLD_CORE = "00004200-f366-40b2-ac37-70cce0aa83b1"
YONKER = "cdeacd80-5235-4c07-8846-93a37ee6b86d"
YONKER_MEASUREMENT = "cdeacd81-5235-4c07-8846-93a37ee6b86d"
# The issue of derdilla/blood-pressure-monitor-fl: 131/103, 81/min; and one that was made later.
FIRST, SECOND = "818367510000190b18131200000000", "817c50480000190b18141e00000000"


def cuff(*values: str) -> VirtualPeripheral:
    return device("YK-BPW5", part(YONKER, stream(YONKER_MEASUREMENT, *values)))


def stream(uuid: str, *values: str) -> dict[Characteristic[bytes], Payloads]:
    return {notifying(uuid): at_once(*values)}


def systolic(results: list[dict[str, Any]]) -> list[float]:
    return [result["systolic_mmhg"] for result in results]


async def test_a_core_that_advertises_another_service_is_found_by_its_name(field: Field) -> None:
    """Old firmware: CORE Connectivity Implementation Notes V3.1, 2.1; the values of table 5."""
    sensor = device(
        "CORE",
        part(OLD_CORE, {}),
        part(
            CORE, stream(CORE_MEASUREMENT, "37190fa40d2f00110027", "05ff7f540d37"), advertised=False
        ),
    )
    async with field.gateway({"id": "core", "service": "core"}, sensor):
        worn, off = await field.until_values("core", "core_temperature", 2)
    assert worn["core_temperature_c"] == 38.65
    assert off["core_temperature_c"] is off["quality"] is None
    assert off["skin_temperature_c"] == 34.12


async def test_a_cuff_that_sends_old_results_again_makes_one_sample_of_each(field: Field) -> None:
    """derdilla/blood-pressure-monitor-fl #688: now and then it sends all it has, one by one."""
    entry = {"id": "cuff", "service": "yonker"}
    async with field.gateway(
        entry, device("YK-BPW5", part(YONKER, stream(YONKER_MEASUREMENT, FIRST)))
    ):
        await field.until_values("cuff", "blood_pressure")
    async with field.gateway(entry, cuff(FIRST, FIRST, "8000a0", "800064", SECOND)):
        await field.until_values("cuff", "blood_pressure", 2)
    assert systolic(field.values("cuff", "blood_pressure")) == [131.0, 124.0]
    pressures = field.values("cuff", "intermediate_cuff_pressure")
    assert pressures == [{"cuff_pressure_mmhg": 160.0}, {"cuff_pressure_mmhg": 100.0}]


async def test_an_oximeter_of_the_same_maker_makes_no_blood_pressure(field: Field) -> None:
    """The YK-81C, sold as Incoterm OX500: 97 %, 72/min, in the places of 97/72 mmHg."""
    oximeter = cuff("8161482b0000000000000000000000", FIRST)
    async with field.gateway({"id": "some", "service": "yonker"}, oximeter):
        await field.until_values("some", "blood_pressure")
    (raw,) = field.values("some", f"undecoded/{YONKER_MEASUREMENT}")
    assert raw["hex"] == "8161482b0000000000000000000000"
    assert systolic(field.values("some", "blood_pressure")) == [131.0]
