"""How Home Assistant shows a measurement's field, decided by its key, type and unit alone."""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from healthd.mqtt.homeassistant import looks
from healthd.mqtt.homeassistant.prominence import prominence
from healthd.samples import Measurement

SENSOR, BINARY_SENSOR = "sensor", "binary_sensor"

PAYLOAD = "(value_json | default({}))"
"""The message in a template; an empty one, which clears a retained topic, has no keys."""

# What specifications call a code without a meaning.
_RESERVED = "reserved"


class Shown(NamedTuple):
    """How a field is shown.

    Attributes:
        platform: Home Assistant's platform.
        config: the parts of the component that depend on the field.
    """

    platform: str
    config: dict[str, Any]


def shown(model: type[Measurement], key: str, measurement: str = PAYLOAD) -> Shown | None:
    """Return how the field with this name is shown; None if it is not meant for people.

    Numbers, words and booleans are shown. Lists, texts and nested objects are not: a state is a
    single value.

    Args:
        model: of the measurement.
        key: of the field.
        measurement: the measurement in a template.
    """
    field = model.model_fields.get(key)
    if field is None or not looks.is_shown(key):
        return None
    extra = cast("dict[str, Any]", field.json_schema_extra or {})
    types = {member for member in _members(field.annotation) if member is not type(None)}
    literals = [member for member in types if get_origin(member) is Literal]
    words = [word for literal in literals for word in get_args(literal)]
    value = f"{measurement}.{key}"
    if types == {bool}:
        config = _boolean(key, value)
        platform = BINARY_SENSOR
    elif types <= {int, float}:
        config = _number(model.kind, key, str(extra.get("unit")), value)
        platform = SENSOR
    elif words and all(isinstance(word, str) for word in words):
        config = {"ic": looks.icon(key)} | words_config(
            value, words, closed=types.isdisjoint({int})
        )
        platform = SENSOR
    else:
        return None
    return Shown(platform, config | prominence(model.kind, key))


def shown_keys(model: type[Measurement]) -> list[str]:
    """Return the keys of the fields that are shown."""
    return [key for key in model.model_fields if shown(model, key)]


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


def template(value: str) -> str:
    """Return the template of a number or boolean.

    An absent key leaves the state as it is, null makes it unknown.
    """
    return f"{{{{ {value} | default('') }}}}"


def scaled_template(value: str, factor: float, digits: int) -> str:
    """Return the template of a number that is shown in another unit than it is published in."""
    if factor == 1:
        return template(value)
    scaled = f"(v * {factor}) | round({digits})"
    return f"{{% set v = {value} %}}{{{{ {scaled} if v is number else v | default('') }}}}"


def words_config(value: str, words: Iterable[str], *, closed: bool = True) -> dict[str, Any]:
    """Return the config of a word.

    Home Assistant has no translations for sensors from MQTT, so the underscores are replaced. An
    absent key makes the state unknown, as null does: with every sample, Home Assistant would log
    that an empty state is not an option of the sensor.

    Args:
        value: the word in a template.
        words: its options.
        closed: whether there are no others: a code without a word is a number, and shown as
            ``reserved``.
    """
    options = [word.replace("_", " ") for word in words]
    if closed:
        text = f"{{{{ {value} | default(none) | string | replace('_', ' ') }}}}"
    else:
        options = list(dict.fromkeys([*options, _RESERVED]))
        others = f"'{_RESERVED}' if v is number else v | default(none)"
        text = f"{{{{ v | replace('_', ' ') if v is string else {others} }}}}"
        text = f"{{% set v = {value} %}}{text}"
    return {"val_tpl": text, "dev_cla": "enum", "ops": options}


def _boolean(key: str, value: str) -> dict[str, Any]:
    config: dict[str, Any] = {"val_tpl": template(value), "pl_on": "True", "pl_off": "False"}
    if class_ := looks.binary_sensor_class(key):
        return config | {"dev_cla": class_}
    return config | {"ic": looks.icon(key)}


def _number(kind: str, key: str, ucum: str, value: str) -> dict[str, Any]:
    row = looks.display_for(ucum, key) or looks.Look(ucum)
    rest = {
        "unit_of_meas": row.unit,
        "dev_cla": row.device_class,
        "stat_cla": looks.state_class(kind, key, row),
        "ic": row.icon,
    }
    known = {option: part for option, part in rest.items() if part is not None}
    # One more digit than is shown, so that means stay right.
    text = scaled_template(value, row.factor, row.digits + 1)
    return {"val_tpl": text, "sug_dsp_prc": row.digits, **known}
