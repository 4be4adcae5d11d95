"""A scale that a household shares, through the whole daemon: whose result it is, and where."""

import struct
from datetime import datetime, timedelta
from typing import Any

from healthd.simulator.attributes import indicating
from healthd.simulator.part import Part
from tests.field.rig import Field, at_once, device, part

SCALE = {"id": "scale", "name": "Scale"}
ANNA = {"id": "anna", "weight_kg": 62.0}
BERT = {"id": "bert", "weight_kg": 81.5}
EVENING = datetime(2026, 11, 20, 19, 0)  # noqa: DTZ001 - the scale's own clock has no zone


def weight(kg: float, at: datetime, user: int | None = None) -> str:
    """Return a Weight Measurement (2A9D): flags, steps of 0.005 kg, date-time, user."""
    flags = 0x02 | (0x04 if user is not None else 0)
    packet = struct.pack("<BHHBBBBB", flags, round(kg * 200), at.year, at.month, at.day, at.hour,
                         at.minute, at.second)  # fmt: skip
    return (packet + (b"" if user is None else bytes([user]))).hex()


def composition(kg: float, ohm: float, at: datetime) -> str:
    """Return a Body Composition Measurement (2A9C): fat, date-time, impedance, weight."""
    flags = 0x02 | 0x200 | 0x400
    when = struct.pack("<HBBBBB", at.year, at.month, at.day, at.hour, at.minute, at.second)
    return (
        struct.pack("<HH", flags, 215) + when + struct.pack("<HH", round(ohm * 10), round(kg * 200))
    ).hex()


def scale(*packets: str) -> Part:
    return part(0x181D, {indicating(0x2A9D): at_once(*packets)})


def whose(samples: list[dict[str, Any]]) -> dict[float, str | None]:
    return {one["weight_kg"]: one.get("person", "no key") for one in samples}


async def test_a_memory_of_two_people_gives_each_of_them_the_newest_result(field: Field) -> None:
    field.settings["people"] = [ANNA, BERT]
    weights = (61.4, 80.9, 61.2, 80.5, 71.0)
    packets = [weight(kg, EVENING + timedelta(hours=hour)) for hour, kg in enumerate(weights)]
    packets += [weight(61.9, EVENING - timedelta(hours=1)), packets[0]]
    async with field.gateway(SCALE, device("Scale", scale(*packets))):
        await field.until_values("scale", "weight", 1)
        await field.until_values("scale", "weight/history", 5)
    assert [one["unattributed"] for one in field.values("scale", "weight")] == ["no_match"]
    assert whose(field.values("scale", "weight/history")) == {
        61.4: "anna",
        80.9: "bert",
        61.2: "anna",
        80.5: "bert",
        61.9: "anna",
    }
    # One that is older than her newest goes to her history; none arrives twice.
    assert [one["weight_kg"] for one in field.values("scale", "person/anna/weight")] == [61.4, 61.2]
    assert [one["weight_kg"] for one in field.values("scale", "person/bert/weight")] == [80.9, 80.5]
    (older,) = field.values("scale", "person/anna/weight/history")
    assert older["weight_kg"] == 61.9
    kept = await field.retained("scale")
    assert kept["person/anna/weight"]["weight_kg"] == 61.2
    assert kept["person/bert/weight"]["weight_kg"] == 80.5


async def test_a_result_of_another_person_does_not_replace_the_retained_one(field: Field) -> None:
    field.settings["people"] = [ANNA, BERT]
    for minute, kg in enumerate((61.4, 80.9)):
        packet = weight(kg, EVENING + timedelta(minutes=minute))
        async with field.gateway(SCALE, device("Scale", scale(packet))):
            await field.until_values("scale", "weight", minute + 1)
    kept = await field.retained("scale")
    assert kept["weight"]["person"] == "bert"
    assert kept["person/anna/weight"]["weight_kg"] == 61.4
    assert kept["person/bert/weight"]["weight_kg"] == 80.9
    # Bert leaves the house: nothing of him stays.
    field.settings["people"] = [ANNA]
    async with field.gateway(SCALE):
        where = "healthd/gateway/device/scale/person/bert/weight"
        await field.until(lambda: any(not one.payload for one in field.subscriber.at(where)))
    assert (await field.retained("scale")).keys() >= {"person/anna/weight", "weight"}
    assert "person/bert/weight" not in await field.retained("scale")


async def test_without_people_a_result_says_nothing_about_a_person(field: Field) -> None:
    async with field.gateway(SCALE, device("Scale", scale(weight(61.4, EVENING)))):
        (sample,) = await field.until_values("scale", "weight")
    assert not {"person", "unattributed"} & sample.keys()


async def test_the_number_of_the_user_comes_before_the_weight(field: Field) -> None:
    field.settings["people"] = [{**ANNA, "users": {"scale": 2}}, BERT]
    async with field.gateway(SCALE, device("Scale", scale(weight(80.9, EVENING, user=2)))):
        (sample,) = await field.until_values("scale", "weight")
    assert (sample["person"], sample["user_id"]) == ("anna", 2)


async def test_weight_and_body_composition_of_one_weighing(field: Field) -> None:
    field.settings["people"] = [ANNA, BERT]
    both = device(
        "Scale",
        scale(weight(61.4, EVENING)),
        part(0x181B, {indicating(0x2A9C): at_once(composition(61.4, 480, EVENING))}),
    )
    async with field.gateway(SCALE, both):
        (first,) = await field.until_values("scale", "weight")
        (second,) = await field.until_values("scale", "body_composition")
        await field.until_values("scale", "person/anna/body_composition")
    assert (first["person"], second["person"]) == ("anna", "anna")


async def test_a_cuff_says_whose_result_it_is_by_its_user_number(field: Field) -> None:
    field.settings["people"] = [{"id": "anna", "users": {"cuff": 1}}]
    values = [
        bytes([0x0A]) + struct.pack("<HHH", 123, 80, 94)
        + struct.pack("<HBBBBB", 2026, 11, 20, 7, minute, 0) + bytes([user])
        for minute, user in ((0, 2), (5, 1))
    ]  # fmt: skip
    cuff = part(0x1810, {indicating(0x2A35): at_once(*(value.hex() for value in values))})
    async with field.gateway({"id": "cuff", "name": "Cuff"}, device("Cuff", cuff)):
        (newest,) = await field.until_values("cuff", "blood_pressure")
        (other,) = await field.until_values("cuff", "blood_pressure/history")
        await field.until_values("cuff", "person/anna/blood_pressure")
    assert (newest["user_id"], newest["person"]) == (1, "anna")
    assert (other["person"], other["unattributed"]) == (None, "unknown_user")


async def test_the_expected_weight_outlives_a_restart(field: Field) -> None:
    field.settings["people"] = [ANNA]
    # 62, 59.5, 57.9: the last one is within 3 kg of what the one before has taught, not of 62.
    for number, kg in enumerate((59.5, 57.9)):
        packet = weight(kg, EVENING + timedelta(minutes=number))
        async with field.gateway(SCALE, device("Scale", scale(packet))):
            await field.until_values("scale", "weight", number + 1)
    assert whose(field.values("scale", "weight")) == {59.5: "anna", 57.9: "anna"}
