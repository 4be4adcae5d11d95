"""How Home Assistant shows a measurement's field, decided by the field's type and unit alone."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from healthd.mqtt.homeassistant import looks
from healthd.samples import Measurement

SENSOR, BINARY_SENSOR = "sensor", "binary_sensor"


class Shown(NamedTuple):
    """How a field is shown.

    Attributes:
        platform: Home Assistant's platform.
        name: shown to people.
        config: the other parts of the component that depend on the field.
    """

    platform: str
    name: str
    config: dict[str, Any]


def shown(model: type[Measurement], key: str) -> Shown | None:
    """Return how the field with this name is shown; None if it is not meant for people.

    Numbers, words and booleans are shown. Lists, texts and nested objects are not: a state is a
    single value.
    """
    field = model.model_fields.get(key)
    if field is None or not looks.is_shown(key):
        return None
    extra = cast("dict[str, Any]", field.json_schema_extra or {})
    types = {member for member in _members(field.annotation) if member is not type(None)}
    literals = [member for member in types if get_origin(member) is Literal]
    words = [word for literal in literals for word in get_args(literal)]
    if types == {bool}:
        config = _boolean(key)
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
    """Yield the types that a value may have."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def template(key: str) -> str:
    """Return the template of a number or boolean.

    An absent key leaves the state as it is, null makes it unknown.
    """
    return f"{{{{ value_json.{key} | default('') }}}}"


def word_template(key: str) -> str:
    """Return the template of a word: an absent key makes the state unknown, as null does.

    With every sample, Home Assistant would log that an empty state is not an option of the sensor.
    """
    return f"{{{{ value_json.{key} | default(none) }}}}"


def _boolean(key: str) -> dict[str, Any]:
    config: dict[str, Any] = {"val_tpl": template(key), "pl_on": "True", "pl_off": "False"}
    if class_ := looks.binary_sensor_class(key):
        config["dev_cla"] = class_
    return config


def _words(key: str, words: list[str], *, closed: bool) -> dict[str, Any]:
    config: dict[str, Any] = {"val_tpl": word_template(key)}
    if closed:
        config |= {"dev_cla": "enum", "ops": words}
    return config


def _number(kind: str, key: str, ucum: str) -> dict[str, Any]:
    row = looks.display_for(ucum, key) or looks.Look(ucum)
    rest = {
        "unit_of_meas": row.unit,
        "dev_cla": row.device_class,
        "stat_cla": looks.state_class(kind, key, row),
        "ic": row.icon,
    }
    known = {option: value for option, value in rest.items() if value is not None}
    return {"val_tpl": template(key), "sug_dsp_prc": row.digits, **known}
