"""Properties of every characteristic. A new characteristic is tested without being listed here."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.quirks import QUIRKS, Quirk
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import load
from healthd.samples import Measurement
from healthd.units import find_unit, unit_of
from tests.support.digits import too_many_digits

CHARACTERISTICS = list(load().characteristics.values())
DERIVED = {model for profile in load().profiles.values() for model in profile.derived}
MODELS = sorted({*DERIVED, *(each.model for each in CHARACTERISTICS)}, key=lambda model: model.kind)

# Counted things that no person watches: they need no row in healthd.units.
NAMELESS = {"{bits}", "{channels}", "{days}", "{hours}"}

# A characteristic's value has up to 512 bytes (Core Specification, Vol 3, Part F, 3.2.9). Nearly
# all are shorter than 64, where the interesting lengths are.
packets = st.binary(max_size=64) | st.binary(min_size=65, max_size=512)


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
    # The published JSON has the same values: null instead of NaN, nothing that JSON cannot hold.
    assert orjson.loads(orjson.dumps(measurement.fields())) == measurement.fields()
    assert not too_many_digits(measurement.fields())


@pytest.mark.untraced
@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.title)
@given(packet=packets)
def test_a_device_that_deviates_has_no_more_digits(quirk: Quirk, packet: bytes) -> None:
    with suppress(DecodeError):
        assert not too_many_digits(quirk.decode(packet).fields())


@pytest.mark.parametrize("characteristic", CHARACTERISTICS, ids=lambda each: each.uuid)
def test_only_subscribed_values_have_a_silence_limit(characteristic: Characteristic) -> None:
    if characteristic.silence_s is not None:
        assert characteristic.use in {Use.STREAM, Use.STATUS}
        assert characteristic.silence_s > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_every_number_has_the_unit_that_its_key_names(model: type[Measurement]) -> None:
    schema = model.model_json_schema(mode="serialization")
    for key, field in schema["properties"].items():
        if not is_quantity(field):
            assert "unit" not in field, f"{key} has a unit and is not a number"
            continue
        ucum, named = field["unit"], unit_of(key)
        if ucum == "1" or ucum in NAMELESS:
            assert named is None, f"{key} names the unit {named} and its schema says {ucum}"
        else:
            assert find_unit(ucum, key), (
                f"{key} has the unit {ucum}: add a row to healthd/units.py, or correct the key"
            )


def test_every_measurement_is_declared() -> None:
    """The models that a state publishes in addition are listed in its profile's ``derived``."""
    assert set(measurements(Measurement)) - {Undecoded} == set(MODELS)


def measurements(base: type[Measurement]) -> Iterator[type[Measurement]]:
    """Yield every kind of measurement that a module of the profiles defines."""
    for model in base.__subclasses__():
        if "kind" in vars(model) and model.__module__.startswith("healthd.profiles"):
            yield model
        yield from measurements(model)


def test_kinds_are_topic_levels_and_do_not_collide() -> None:
    kinds = [model.kind for model in MODELS]
    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", kind) for kind in kinds)


def is_quantity(field: dict[str, Any]) -> bool:
    """Return whether this part of a JSON schema is a number or a list of numbers.

    A word that may also be a number (an enum with numbers that have no name yet) is not a number.
    """
    found = set(types(field))
    return bool(found & {"integer", "number"}) and "string" not in found


def types(field: dict[str, Any]) -> Iterator[str]:
    """Yield every JSON type that this part of a schema allows, including those in lists."""
    if "type" in field:
        yield field["type"]
    for part in [*field.get("anyOf", []), *filter(None, [field.get("items")])]:
        yield from types(part)
