"""The states that Home Assistant shows for real packets, including null and absent keys."""

from collections.abc import Mapping
from typing import Any, cast

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
            # A state that is sent once is read from the device's info.
            in_info = config["stat_t"].endswith("/info")
            message = {"state": "streaming", model.kind: fields} if in_info else fields
            now = state(config, orjson.dumps(message), BEFORE)
            assert now == _expected(config, key, fields.get(key, ABSENT)), (key, fields)


# The end of the key, and the unit that is shown: how much of it is one unit of the key.
FACTORS = {
    ("mps", "km/h"): 3.6,
    ("m", "km"): 1e-3,
    ("kj", "kcal"): 1 / 4.184,
    ("kj_per_h", "kcal/h"): 1 / 4.184,
    ("l", "mL"): 1e3,
    ("kg", "g"): 1e3,
    ("kg", "mg"): 1e6,
}


def _expected(config: Mapping[str, Any], key: str, value: object) -> object:
    is_word = not config.keys() & {"sug_dsp_prc", "pl_on"}
    if value is ABSENT:
        return None if is_word else BEFORE
    if is_word and value is not None:
        # Some keys may have a number instead of a word.
        return value.replace("_", " ") if isinstance(value, str) else "reserved"
    for (end, unit), factor in FACTORS.items():
        if f"_{key}".endswith(f"_{end}") and config.get("unit_of_meas") == unit:
            step = 10 ** -(config["sug_dsp_prc"] + 1)
            number = cast("float | None", value)
            return None if number is None else pytest.approx(number * factor, abs=step)
    return value


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
