"""Properties of every characteristic and broadcast; new ones are tested without being listed."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.options import Options
from healthd.profiles.quirks import QUIRKS, Quirk
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import load
from healthd.profiles.uuids import canonical_uuid
from healthd.samples import Measurement
from healthd.units import find_unit, unit_of
from tests.support.digits import too_many_digits

SOURCES = load().sources
BROADCASTS = list(load().broadcasts.values())
DERIVED = {model for profile in load().profiles.values() for model in profile.derived}
MODELS = sorted({*DERIVED, *(each.model for each in SOURCES)}, key=lambda model: model.kind)

# Counted things that no person watches: they need no row in healthd.units.
NAMELESS = {"{bits}", "{channels}", "{days}", "{hours}"}

# A characteristic's value has up to 512 bytes (Core Specification, Vol 3, Part F, 3.2.9). Nearly
# all are shorter than 64, where the interesting lengths are.
packets = st.binary(max_size=64) | st.binary(min_size=65, max_size=512)


def decodes_or_refuses(
    source: Characteristic, decode: Callable[[bytes], Measurement], packet: bytes
) -> None:
    try:
        measurement = decode(packet)
    except DecodeError:
        return
    assert type(measurement) in (source.model, *source.others)
    # The published JSON has the same values: null instead of NaN, nothing that JSON cannot hold.
    assert orjson.loads(orjson.dumps(measurement.fields())) == measurement.fields()
    assert not too_many_digits(measurement.fields())


@pytest.mark.untraced
@pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.uuid)
@given(packet=packets)
def test_any_bytes_give_the_model_or_a_decode_error(source: Characteristic, packet: bytes) -> None:
    decodes_or_refuses(source, source.decode, packet)


@pytest.mark.untraced
@pytest.mark.parametrize(
    "broadcast", [each for each in BROADCASTS if each.decoder], ids=lambda each: each.uuid
)
@pytest.mark.parametrize("bind_key", [None, bytes(range(16))], ids=["no key", "key"])
@given(packet=packets)
def test_any_bytes_give_the_decoder_of_one_device_the_model_or_a_decode_error(
    broadcast: Broadcast, bind_key: bytes | None, packet: bytes
) -> None:
    assert broadcast.decoder is not None
    decode = broadcast.decoder(Options(bind_key=bind_key), "C0:00:00:00:00:01")
    decodes_or_refuses(broadcast, decode, packet)


@pytest.mark.untraced
@pytest.mark.parametrize("broadcast", BROADCASTS, ids=lambda each: each.uuid)
@given(packet=packets)
def test_any_bytes_are_of_a_broadcast_or_not(broadcast: Broadcast, packet: bytes) -> None:
    assert broadcast.fits(packet) in {True, False}


@pytest.mark.parametrize("broadcast", BROADCASTS, ids=lambda each: each.uuid)
def test_broadcasts_are_streams_under_well_formed_keys(broadcast: Broadcast) -> None:
    assert re.fullmatch("[a-z]+(_[a-z0-9]+)*", broadcast.uuid)
    assert broadcast.use is Use.STREAM
    assert broadcast.keys
    assert len(set(broadcast.keys)) == len(broadcast.keys)
    for key in broadcast.keys:
        if uuid := key.removeprefix("service_data_").removesuffix(key):
            assert canonical_uuid(uuid) == uuid
        else:
            assert re.fullmatch("manufacturer_data_[0-9a-f]{4}", key)
    assert broadcast.again_s is None or broadcast.again_s > 0


@pytest.mark.untraced
@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.title)
@given(packet=packets)
def test_a_device_that_deviates_has_no_more_digits(quirk: Quirk, packet: bytes) -> None:
    with suppress(DecodeError):
        assert not too_many_digits(quirk.decode(packet).fields())


@pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.uuid)
def test_only_values_that_come_by_themselves_have_a_silence_limit(source: Characteristic) -> None:
    if source.silence_s is not None:
        assert source.use in {Use.STREAM, Use.STATUS}
        assert source.silence_s > 0


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
