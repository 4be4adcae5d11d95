"""The rules by which Home Assistant refuses an announcement, tested against release 2026.11.

An error at the root makes it refuse the whole device, an error in an entity only that entity. There
are also rules for what Home Assistant accepts without an error but does not understand: unknown
keys, and states that it would log with each message.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Config = Mapping[str, Any]

_TOPIC = re.compile(r"[A-Za-z0-9_/-]+/device/(?P<device>[a-zA-Z0-9_-]+)/config")
_PLAIN_TOPIC = re.compile(r"[^+#\x00]+")

_SHARED = {"avty", "avty_mode", "avty_t", "avty_tpl", "pl_avail", "pl_not_avail", "stat_t", "cmd_t"}
_ROOT = {"dev", "o", "cmps", "qos", "e"} | _SHARED
_DEVICE = {"ids", "cns", "name", "mf", "mdl", "mdl_id", "hw", "sw", "sa", "sn", "cu", "via_device"}
_ORIGIN = {"name", "sw", "url"}

_COMMON = {"p", "name", "uniq_id", "def_ent_id", "avty", "avty_mode", "ent_cat", "ic", "qos", "en"}
_STATE = {"stat_t", "val_tpl", "dev_cla", "exp_aft", "frc_upd"}
_COMMAND = {"cmd_t", "cmd_tpl", "ret"}
_KEYS = {
    "sensor": _COMMON | _STATE | {"unit_of_meas", "stat_cla", "sug_dsp_prc", "ops"},
    "binary_sensor": _COMMON | _STATE | {"pl_on", "pl_off", "off_dly"},
    "device_tracker": _COMMON
    | {"stat_t", "val_tpl", "json_attr_t", "json_attr_tpl", "src_type", "pl_home", "pl_not_home"},
    "button": _COMMON | _COMMAND | {"pl_prs", "dev_cla"},
    "number": _COMMON
    | _COMMAND
    | {"stat_t", "val_tpl", "dev_cla", "unit_of_meas", "min", "max", "step", "mode", "opt"},
}
_REQUIRED = {
    "sensor": {"stat_t"},
    "binary_sensor": {"stat_t"},
    # or a state topic, which healthd has no use for
    "device_tracker": {"json_attr_t"},
    "button": {"cmd_t"},
    "number": {"cmd_t"},
}

# Classes of sensors and numbers that healthd may use, with the units that each allows.
_UNITS: Mapping[str, set[str | None]] = {
    "battery": {"%"},
    "blood_glucose_concentration": {"mmol/L", "mg/dL"},
    "carbon_dioxide": {"ppm"},
    "data_size": {"B", "kB", "MB", "GB"},
    "distance": {"mm", "cm", "m", "km", "in", "ft", "yd", "mi"},
    "duration": {"d", "h", "min", "s", "ms"},
    "energy": {"J", "kJ", "MJ", "Wh", "kWh", "cal", "kcal"},
    "enum": {None},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "humidity": {"%"},
    "illuminance": {"lx"},
    "moisture": {"%"},
    "pm10": {"µg/m³"},
    "pm25": {"µg/m³"},
    "power": {"mW", "W", "kW"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "mbar", "mmHg", "inHg", "psi"},
    "signal_strength": {"dB", "dBm"},
    "speed": {"m/s", "km/h", "mph", "kn", "ft/s", "mm/s"},
    "temperature": {"°C", "°F", "K"},
    "timestamp": {None},
    "volatile_organic_compounds": {"µg/m³", "mg/m³"},
    "weight": {"kg", "g", "mg", "µg", "oz", "lb"},
}
_COUNTED = {"total", "total_increasing"}
_STATE_CLASSES: Mapping[str, set[str]] = {
    "energy": _COUNTED,
    "enum": set(),
    "timestamp": set(),
    "data_size": {"measurement", *_COUNTED},
    "distance": {"measurement", *_COUNTED},
    "duration": {"measurement", *_COUNTED},
    "weight": {"measurement", *_COUNTED},
}
_TEXT_CLASSES = {"enum", "timestamp"}
_BINARY_CLASSES = {
    *("battery", "battery_charging", "carbon_monoxide", "connectivity", "door", "gas", "light"),
    *("moisture", "motion", "moving", "occupancy", "opening", "presence", "problem", "running"),
    *("smoke", "sound", "vibration", "window"),
}
_BUTTON_CLASSES = {"identify", "restart", "update"}


def complaints(topic: str, payload: Config) -> list[str]:
    """Return every error in one announcement; without any, Home Assistant accepts all of it."""
    return [*_of_topic(topic), *_of_root(payload), *_of_components(payload)]


def complaints_of_all(payloads: Mapping[str, Config]) -> list[str]:
    """Return every error in all announcements at a broker, and in their references."""
    found = [f"{topic}: {one}" for topic in payloads for one in complaints(topic, payloads[topic])]
    known = {one for payload in payloads.values() for one in payload["dev"].get("ids", ())}
    for topic, payload in payloads.items():
        if (via := payload["dev"].get("via_device", None)) is not None and via not in known:
            found.append(f"{topic}: via_device {via} is not announced")
    ids = Counter(
        config["uniq_id"]
        for payload in payloads.values()
        for config in payload["cmps"].values()
        if "uniq_id" in config
    )
    return [*found, *(f"uniq_id {one} twice" for one, times in ids.items() if times > 1)]


def _of_topic(topic: str) -> Iterator[str]:
    if not _TOPIC.fullmatch(topic):
        yield f"topic {topic}"


def _of_root(payload: Config) -> Iterator[str]:
    for key in ("dev", "o", "cmps"):
        if key not in payload:
            yield f"root: no {key}"
    yield from _unknown("root", payload, _ROOT)
    yield from _unknown("dev", payload.get("dev", {}), _DEVICE)
    yield from _unknown("o", payload.get("o", {}), _ORIGIN)
    if not (payload.get("dev", {}).get("ids") or payload.get("dev", {}).get("cns")):
        yield "dev: neither ids nor cns"
    if not payload.get("o", {}).get("name"):
        yield "o: no name"
    if not payload.get("cmps"):
        yield "cmps: empty"
    yield from _of_availability("root", payload)
    if payload.get("qos", 0) not in (0, 1, 2):
        yield "root: qos"


def _of_availability(where: str, config: Config) -> Iterator[str]:
    if "avty" in config and "avty_t" in config:
        yield f"{where}: avty and avty_t"
    if config.get("avty_mode", "all") not in ("all", "any", "latest"):
        yield f"{where}: avty_mode"
    if not isinstance(config.get("avty", []), list):
        yield f"{where}: avty is not a list"
        return
    avty: list[Config] = config.get("avty", [])
    for row in avty:
        if set(row) - {"t", "val_tpl", "pl_avail", "pl_not_avail"}:
            yield f"{where}: avty has {sorted(row)}"
        elif not _PLAIN_TOPIC.fullmatch(row.get("t", "")):
            yield f"{where}: avty without a topic"


def _of_components(payload: Config) -> Iterator[str]:
    for id_, config in payload.get("cmps", {}).items():
        for error in _of_component(config, payload):
            yield f"{id_}: {error}"
    # Home Assistant would add a number to the one that it sees last.
    ids = [one["def_ent_id"] for one in payload.get("cmps", {}).values() if "def_ent_id" in one]
    yield from (f"def_ent_id {one} twice" for one, times in Counter(ids).items() if times > 1)


def _of_component(config: Config, root: Config) -> Iterator[str]:
    platform = config.get("p")
    if platform not in _KEYS:
        yield f"p is {platform}"
        return
    if len(config) == 1:
        return  # Home Assistant removes it
    yield from _unknown("component", config, _KEYS[platform])
    yield from _of_availability("component", config)
    if not config.get("uniq_id"):
        yield "no uniq_id"
    if not re.fullmatch(rf"{platform}\.[a-z0-9_]+", config.get("def_ent_id", f"{platform}.x")):
        yield f"def_ent_id {config['def_ent_id']}"
    if missing := _REQUIRED[platform] - config.keys() - root.keys():
        yield f"no {min(missing)}"
    if not re.fullmatch(r"mdi:[a-z0-9-]+", config.get("ic", "mdi:x")):
        yield "ic"
    if "exp_aft" in config and not (isinstance(config["exp_aft"], int) and config["exp_aft"] > 0):
        yield "exp_aft"
    if not isinstance(config.get("en", True), bool):
        yield "en"
    for topic in ("stat_t", "cmd_t", "json_attr_t"):
        if topic in config and not _PLAIN_TOPIC.fullmatch(config[topic]):
            yield topic
    yield from {
        "sensor": _of_sensor,
        "binary_sensor": _of_binary_sensor,
        "device_tracker": _of_device_tracker,
        "button": _of_button,
        "number": _of_number,
    }[platform](config)


def _of_sensor(config: Config) -> Iterator[str]:
    class_, unit = config.get("dev_cla"), config.get("unit_of_meas")
    if config.get("ent_cat") not in (None, "diagnostic"):
        yield f"ent_cat {config['ent_cat']}"
    yield from _of_unit(class_, unit)
    state_class = config.get("stat_cla")
    allowed = {"measurement", *_COUNTED}
    if state_class is not None and state_class not in _STATE_CLASSES.get(class_ or "", allowed):
        yield f"stat_cla {state_class} of {class_}"
    options = config.get("ops")
    if options is not None and (class_ != "enum" or unit or state_class or not options):
        yield "ops"
    if class_ == "enum" and options is None:
        yield "enum without ops"
    digits = config.get("sug_dsp_prc")
    if digits is not None and not (isinstance(digits, int) and digits >= 0):
        yield "sug_dsp_prc"
    numeric = class_ not in _TEXT_CLASSES and not (class_ is unit is state_class is digits is None)
    # Home Assistant ignores an empty state of a number; of text it logs or shows it.
    if not numeric and "default('')" in config.get("val_tpl", ""):
        yield "text that may be empty"


def _of_unit(class_: str | None, unit: str | None) -> Iterator[str]:
    if class_ is None:
        if unit in ("C", "min/km"):
            yield f"unit {unit}"
        return
    if class_ not in _UNITS:
        yield f"dev_cla {class_}"
    elif unit not in _UNITS[class_]:
        yield f"unit {unit} of {class_}"


def _of_binary_sensor(config: Config) -> Iterator[str]:
    if config.get("ent_cat") not in (None, "diagnostic"):
        yield f"ent_cat {config['ent_cat']}"
    if config.get("dev_cla") not in (None, *_BINARY_CLASSES):
        yield f"dev_cla {config['dev_cla']}"


def _of_device_tracker(config: Config) -> Iterator[str]:
    if config.get("src_type", "gps") not in ("gps", "router", "bluetooth", "bluetooth_le"):
        yield f"src_type {config['src_type']}"


def _of_button(config: Config) -> Iterator[str]:
    if config.get("ent_cat") not in (None, "config", "diagnostic"):
        yield f"ent_cat {config['ent_cat']}"
    if config.get("dev_cla") not in (None, *_BUTTON_CLASSES):
        yield f"dev_cla {config['dev_cla']}"
    yield from _of_command(config)


def _of_number(config: Config) -> Iterator[str]:
    yield from _of_unit(config.get("dev_cla"), config.get("unit_of_meas"))
    if not config.get("min", 1) < config.get("max", 100):
        yield "min and max"
    if not config.get("step", 1) >= 1e-3:
        yield "step"
    yield from _of_command(config)


def _of_command(config: Config) -> Iterator[str]:
    # A command has to arrive, once and now: not again whenever healthd subscribes.
    if config.get("qos") != 1:
        yield "qos of a command"
    if config.get("ret"):
        yield "a retained command"


def _unknown(where: str, config: Config, known: set[str]) -> Iterator[str]:
    if unknown := config.keys() - known:
        yield f"{where}: unknown {min(unknown)}"
