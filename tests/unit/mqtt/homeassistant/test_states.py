"""The states that Home Assistant shows for real packets, including null and absent keys."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from healthd.errors import DecodeError
from healthd.mqtt.homeassistant.fields import shown
from healthd.profiles.characteristic import Characteristic, Use
from healthd.samples import Measurement
from tests.support.hass_states import state
from tests.unit.mqtt.homeassistant.homes import REGISTRY, all_keys, of_peripheral
from tests.unit.profiles.test_vectors import VECTORS, read

STREAMS = {
    uuid: characteristic
    for uuid, characteristic in REGISTRY.characteristics.items()
    if characteristic.use in (Use.STREAM, Use.STATUS) and "pmd" not in characteristic.model.kind
}
BEFORE, ABSENT = object(), object()


def measured(characteristic: Characteristic) -> list[Measurement]:
    found: list[Measurement] = []
    for vector in read(VECTORS / f"{characteristic.uuid}.toml"):
        try:
            found.append(characteristic.decode(vector.packet))
        except DecodeError:
            assert vector.expected is None
    return found


@pytest.mark.parametrize("uuid", STREAMS)
def test_the_state_of_each_entity_is_the_value_in_the_packet(uuid: str) -> None:
    model = STREAMS[uuid].model
    entities = of_peripheral(all_keys(model.kind))["cmps"]
    packets = [packet.fields() for packet in measured(STREAMS[uuid])]
    assert packets
    for key in model.model_fields:
        if (config := entities.get(f"{model.kind}_{key}")) is None:
            continue
        for fields in packets:
            now = state(config, orjson.dumps(fields), BEFORE)
            assert now == _expected(config, fields.get(key, ABSENT)), (key, fields)


def _expected(config: Mapping[str, Any], value: object) -> object:
    is_word = not config.keys() & {"sug_dsp_prc", "pl_on"}
    if value is ABSENT:
        return None if is_word else BEFORE
    # Some keys may have a number instead of a word.
    return str(value) if is_word and value is not None else value


def test_packets_include_null_and_absent_keys() -> None:
    packets = [(stream.model, fields) for stream in STREAMS.values() for fields in measured(stream)]
    nulls = {
        (model.kind, key)
        for model, fields in packets
        for key, value in fields.fields().items()
        if value is None and shown(model, key)
    }
    absent = {
        (model.kind, key)
        for model, fields in packets
        for key in model.model_fields.keys() - fields.fields().keys()
        if shown(model, key)
    }
    assert min(len(nulls), len(absent)) > 20
