"""From a measurement's field to what Home Assistant shows of it, by its type and unit alone."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from healthd.mqtt.homeassistant import looks
from healthd.samples import Measurement

SENSOR, BINARY_SENSOR = "sensor", "binary_sensor"


class Shown(NamedTuple):
    """What is shown of a field.

    Attributes:
        platform: of Home Assistant.
        name: for people.
        config: the rest of the component that the field decides.
    """

    platform: str
    name: str
    config: dict[str, Any]


def shown(model: type[Measurement], key: str) -> Shown | None:
    """What is shown of the field of this name; None for one that is not for people.

    Shown are numbers, words and what is true or false. Lists, texts and what is inside a field
    are not: a state is one value.
    """
    field = model.model_fields.get(key)
    if field is None or not looks.is_shown(key):
        return None
    extra = cast("dict[str, Any]", field.json_schema_extra or {})
    types = {one for one in _members(field.annotation) if one is not type(None)}
    words = [word for one in types if get_origin(one) is Literal for word in get_args(one)]
    if types == {bool}:
        config = _truth(key)
        platform = BINARY_SENSOR
    elif types <= {int, float}:
        config = _number(model.kind, key, str(extra.get("unit")))
        platform = SENSOR
    elif words and all(isinstance(word, str) for word in words):
        config = _words(key, words, closed=types.isdisjoint({int}))
        platform = SENSOR
    else:
        return None
    if looks.is_diagnostic(model.kind):
        config["ent_cat"] = "diagnostic"
    return Shown(platform, looks.name(model.kind, key), config)


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a value may have."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for one in get_args(annotation):
            yield from _members(one)
    else:
        yield annotation


def template(key: str) -> str:
    """A number's or a truth's: an absent key leaves the state as it is, null makes it unknown."""
    return f"{{{{ value_json.{key} | default('') }}}}"


def word_template(key: str) -> str:
    """A word's: an absent key makes it unknown, as null does.

    Home Assistant would log an empty one, with each sample, as none of the sensor's options.
    """
    return f"{{{{ value_json.{key} | default(none) }}}}"


def _truth(key: str) -> dict[str, Any]:
    config: dict[str, Any] = {"val_tpl": template(key), "pl_on": "True", "pl_off": "False"}
    if class_ := looks.truth_class(key):
        config["dev_cla"] = class_
    return config


def _words(key: str, words: list[str], *, closed: bool) -> dict[str, Any]:
    config: dict[str, Any] = {"val_tpl": word_template(key)}
    if closed:
        config |= {"dev_cla": "enum", "ops": words}
    return config


def _number(kind: str, key: str, ucum: str) -> dict[str, Any]:
    row = looks.look(ucum, key) or looks.Look(ucum)
    rest = {
        "unit_of_meas": row.unit,
        "dev_cla": row.device_class,
        "stat_cla": looks.state_class(kind, key, row),
        "ic": row.icon,
    }
    known = {option: value for option, value in rest.items() if value is not None}
    return {"val_tpl": template(key), "sug_dsp_prc": row.digits, **known}
