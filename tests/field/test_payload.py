"""What consumers get: flat samples with the digits that the device sent.

Numbers such as c4 and c7 belong to the reports that are named in each test.
"""

import json
from typing import Any

import pytest

from healthd.simulator.attributes import Number, notifying
from tests.field.rig import Field, at_once, device, machine_features, part

WEIGHT_SCALE, LOCATION, GLUCOSE, FITNESS_MACHINE = 0x181D, 0x1819, 0x1808, 0x1826
POWER, BLOOD_PRESSURE, HEART_RATE = 0x1818, 0x1810, 0x180D


# The keys of a nested date became 72 series of Prometheus, such as weight_timestamp_year. Expected:
# one text. Date Time in the GATT Specification Supplement: 0 is "not known" for year, month, day.
@pytest.mark.parametrize(
    ("service", "uuid", "value", "kind", "times"),
    [
        # 80 kg on 24 November 2026, 07:30, and on a scale that knows the time of the day alone.
        (WEIGHT_SCALE, 0x2A9D, "02803eea070b18071e00", "weight", {"2026-11-24T07:30:00"}),
        (WEIGHT_SCALE, 0x2A9D, "02803e00000000071e00", "weight", {"XXXX-XX-XXT07:30:00"}),
        (WEIGHT_SCALE, 0x2A9D, "02803e00000000000000", "weight", {None}),
        # A position with its UTC time, and with a month that does not exist.
        (LOCATION, 0x2A67, "4000ea07090e0a2d00", "location_and_speed", {"2026-09-14T10:45:00"}),
        (LOCATION, 0x2A67, "4000ea07110e0a2d00", "location_and_speed", {"2026-XX-14T10:45:00"}),
    ],
)
async def test_c4_the_date_of_a_device_is_one_text(
    field: Field, service: Number, uuid: Number, value: str, kind: str, times: set[Any]
) -> None:
    await check_flat(field, service, uuid, value, kind)
    assert {one["device_time"] for one in field.values("device", kind)} == times


async def test_c4_a_glucose_result_has_its_base_time_as_one_text(field: Field) -> None:
    # 112 mg/dL at 23:23, one hour later by the user's clock.
    await check_flat(field, GLUCOSE, 0x2A18, "030100e407030e1717003c0070b011", "glucose")
    (result,) = field.values("device", "glucose")
    assert (result["base_time"], result["device_time"]) == (
        "2020-03-14T23:23:00",
        "2020-03-15T00:23:00",
    )


# States such as 8.147222222222222 made the recorder of Home Assistant store a new one each second.
# Expected: the value in the specification's unit, converted, with the decimals that distinguish it
# from the next step.
@pytest.mark.parametrize(
    ("service", "uuid", "value", "kind", "key", "right"),
    [
        # 29.33 km/h in steps of 0.01 km/h.
        (FITNESS_MACHINE, 0x2AD2, "0000750b", "indoor_bike", "speed_mps", 8.147),
        # 16.5 Nm and an event time of 1027/1024 s.
        (POWER, 0x2A63, "240064001002010203 04", "cycling_power", "accumulated_torque_nm", 16.5),
        (POWER, 0x2A63, "200064000102 0304", "cycling_power", "last_crank_event_time_s", 1.0029),
        # 16.0/10.7 kPa.
        (BLOOD_PRESSURE, 0x2A35, "01a0f06bf085f0", "blood_pressure", "systolic_mmhg", 120.0),
        # 180.5 lb in steps of 0.01 lb: 81.8734... kg.
        (WEIGHT_SCALE, 0x2A9D, "018246", "weight", "weight_kg", 81.873),
        # 823/1024 s and 832/1024 s.
        (HEART_RATE, 0x2A37, "104837034003", "heart_rate", "rr_intervals_ms", [803.7, 812.5]),
    ],
)
async def test_c7_a_value_has_the_digits_of_the_device(
    field: Field, service: Number, uuid: Number, value: str, kind: str, key: str, right: object
) -> None:
    await check_flat(field, service, uuid, value, kind)
    assert field.values("device", kind)[-1][key] == right


async def check_flat(field: Field, service: Number, uuid: Number, value: str, kind: str) -> None:
    """Publish one value; check that its samples are flat, and that they fulfil the schema."""
    streams = {notifying(uuid): at_once(value)}
    others = (machine_features(0),) if service == FITNESS_MACHINE else ()
    entry = {"id": "device", "name": "Device"}
    async with field.gateway(entry, device("Device", part(service, streams, *others))):
        await field.until_values("device", kind)
    for sample in field.received("device", kind):
        assert sample.keys() >= {"id", "time", "clock", "seq"}
        # The sample itself is the only object.
        assert json.dumps(sample).count("{") == 1
