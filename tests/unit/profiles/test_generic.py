"""What holds for every characteristic there is; a new one is tested without being listed."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import load
from healthd.samples import Measurement

CHARACTERISTICS = list(load().characteristics.values())
DERIVED = {model for profile in load().profiles.values() for model in profile.derived}
MODELS = sorted({*DERIVED, *(each.model for each in CHARACTERISTICS)}, key=lambda one: one.kind)

# A characteristic's value ends at 512 bytes (Core Specification, Vol 3, Part F, 3.2.9); nearly
# all stay below 64, where the interesting lengths are.
packets = st.binary(max_size=64) | st.binary(min_size=65, max_size=512)

# One unit per quantity, the unit in the key: key suffix to UCUM code.
UNITS = {
    "bpm": "/min",
    "rpm": "/min",
    "spm": "/min",
    "ms": "ms",
    "s": "s",
    "mps": "m/s",
    "s_per_500m": "s/(500.m)",
    "m": "m",
    "w": "W",
    "kj": "kJ",
    "kj_per_h": "kJ/h",
    "kg": "kg",
    "mmhg": "mm[Hg]",
    "c": "Cel",
    "mmol_per_l": "mmol/L",
    "pct": "%",
    "deg": "deg",
    "n": "N",
    "nm": "N.m",
    "ohm": "Ohm",
    "hz": "Hz",
    "min": "min",
    "ns": "ns",
    "uv": "uV",
    "mg": "m[g]",
    "dps": "deg/s",
    "gauss": "G",
    "hpa": "hPa",
    "kg_per_m": "kg/m",
    "mmol_per_l_per_min": "mmol/L/min",
    "g": "g",
    "h": "h",
    "l": "L",
    "years": "a",
    "bmi": "kg/m2",
}


@pytest.mark.untraced
@pytest.mark.parametrize("characteristic", CHARACTERISTICS, ids=lambda each: each.uuid)
@given(packet=packets)
def test_any_bytes_give_the_model_or_a_decode_error(
    characteristic: Characteristic, packet: bytes
) -> None:
    try:
        measurement = characteristic.decode(packet)
    except DecodeError:
        return
    assert type(measurement) is characteristic.model
    # Null rather than NaN, and no value that JSON cannot hold: what is published comes back.
    assert orjson.loads(orjson.dumps(measurement.fields())) == measurement.fields()


@pytest.mark.parametrize("characteristic", CHARACTERISTICS, ids=lambda each: each.uuid)
def test_only_what_is_subscribed_can_fall_silent(characteristic: Characteristic) -> None:
    if characteristic.silence_s is not None:
        assert characteristic.use in {Use.STREAM, Use.STATUS}
        assert characteristic.silence_s > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_every_number_has_the_unit_that_its_key_says(model: type[Measurement]) -> None:
    schema = model.model_json_schema(mode="serialization")
    for key, field in schema["properties"].items():
        if is_quantity(field):
            assert "unit" in field, f"{key} has no unit"
            suffix = unit_suffix(key)
            expected = "1" if suffix is None else UNITS[suffix]
            # A bare count may name what it counts: {steps} is UCUM's way to say so.
            assert field["unit"] == expected or (
                suffix is None and re.fullmatch(r"\{\w+\}", field["unit"])
            ), f"{key} has the unit {field['unit']}"
        else:
            assert "unit" not in field, f"{key} has a unit and is no number"


def test_every_measurement_is_declared() -> None:
    """What a state publishes of its own stands in its profile's ``derived``."""
    assert set(measurements(Measurement)) - {Undecoded} == set(MODELS)


def measurements(base: type[Measurement]) -> Iterator[type[Measurement]]:
    """Every kind of measurement that a module of the profiles defines."""
    for model in base.__subclasses__():
        if "kind" in vars(model) and model.__module__.startswith("healthd.profiles"):
            yield model
        yield from measurements(model)


def test_unit_suffix_is_the_longest_that_fits() -> None:
    assert unit_suffix("energy_kj_per_h") == "kj_per_h"
    assert unit_suffix("heart_rate_bpm") == "bpm"
    assert unit_suffix("bmi") == "bmi"
    assert unit_suffix("product_id") is None


def test_kinds_are_topic_levels_and_do_not_collide() -> None:
    kinds = [model.kind for model in MODELS]
    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", kind) for kind in kinds)


def unit_suffix(key: str) -> str | None:
    """The suffix of ``key`` that names a unit, without its underscore; it may be all of the key."""
    fitting = [suffix for suffix in UNITS if f"_{key}".endswith(f"_{suffix}")]
    return max(fitting, key=len, default=None)


def is_quantity(field: dict[str, Any]) -> bool:
    """Whether this part of a JSON schema is a number or a list of numbers.

    A word that may also be a number (an enum with a number that has no name yet) is none.
    """
    found = set(types(field))
    return bool(found & {"integer", "number"}) and "string" not in found


def types(field: dict[str, Any]) -> Iterator[str]:
    """Every JSON type that may stand in this part of a schema, inside lists too."""
    if "type" in field:
        yield field["type"]
    for part in [*field.get("anyOf", []), *filter(None, [field.get("items")])]:
        yield from types(part)
