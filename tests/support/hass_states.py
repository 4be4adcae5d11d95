"""What Home Assistant makes of a message: the state that an announced entity has then."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

_template = cache(ImmutableSandboxedEnvironment().from_string)

UNKNOWN = None
_WORDS = {"enum", "timestamp"}
_NUMERIC = {"unit_of_meas", "stat_cla", "sug_dsp_prc"}


def state(config: Mapping[str, Any], payload: bytes, before: Any = UNKNOWN) -> Any:
    """The state of an entity behind a message at its topic.

    Args:
        config: of the entity, as it was announced.
        payload: of the message.
        before: its state until then.

    Raises:
        AssertionError: Home Assistant would log something of this message.
    """
    text = payload.decode()
    if "val_tpl" in config:
        value = json.loads(text)
        text = _template(config["val_tpl"]).render(value=text, value_json=value).strip()
    if text == "None":
        return UNKNOWN
    if config["p"] == "binary_sensor":
        on, off = config.get("pl_on", "ON"), config.get("pl_off", "OFF")
        assert text in ("", on, off), (config["uniq_id"], text)
        return before if text == "" else text == on
    class_ = config.get("dev_cla")
    if config["p"] == "number" or (class_ not in _WORDS and (class_ or _NUMERIC & config.keys())):
        return before if text == "" else float(text)
    assert text, config["uniq_id"]
    assert text in config.get("ops", [text]), (config["uniq_id"], text)
    return text
