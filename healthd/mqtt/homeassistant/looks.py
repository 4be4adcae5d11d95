"""How Home Assistant shows a measurement's field: by its unit and key, with a readable name."""

import re
from typing import NamedTuple

# Fields about the packet, the device's clock or its memory, and fields that say how to read another
# field: nothing that a person would watch.
_OF_THE_PACKET = frozenset(
    {
        "truncated",
        "trailing_bytes",
        "more_data",
        "multiple_packet",
        "crc_ok",
        "opcode",
        "status_code",
        "extended_flags",
        "identifier",
        "sequence_number",
        "context_follows",
        "clock_not_set",
        "sensor_contact_supported",
        "speed_distance_3d",
        "resistance_width",
        "resistance_raw_scale",
        "torque_source",
        "measurement_direction",
        "first_crank_angle_deg",
        "last_crank_event_time_s",
        "last_wheel_event_time_s",
        "time_offset_s",
        "time_zone_s",
        "dst_offset_s",
        "rolling_time_s",
        "sample_rate_hz",
        "timestamp_ns",
        "frame_type",
        "compressed",
        "measurement_type",
    }
)


class Look(NamedTuple):
    """One row: how numbers of a unit are shown.

    Attributes:
        ucum: the unit in the field's schema.
        key: suffix of the field's key; empty: any key.
        unit: the unit's name in Home Assistant; None for a bare number.
        device_class: of the sensor; Home Assistant refuses a sensor whose class does not allow its
            unit.
        digits: number of decimals.
        icon: for sensors without a class, which would bring one.
    """

    ucum: str
    key: str
    unit: str | None
    device_class: str | None = None
    digits: int = 0
    icon: str | None = None


# The first matching row counts. There is no class for rates per minute: ``frequency`` allows Hz,
# and Home Assistant refuses a sensor that claims it with another unit.
_LOOKS = (
    Look("/min", "_bpm", "bpm", icon="mdi:heart-pulse"),
    Look("/min", "_rpm", "rpm", icon="mdi:rotate-right"),
    Look("/min", "_spm", "spm", icon="mdi:shoe-print"),
    Look("m/s", "_mps", "m/s", "speed", 2),
    Look("m", "distance_m", "m", "distance"),
    Look("m", "_m", "m", "distance", 2),
    Look("W", "_w", "W", "power"),
    # A turnover: Home Assistant takes only what is used up for ``energy``.
    Look("kJ", "basal_metabolism_kj", "kJ", icon="mdi:fire"),
    Look("kJ", "_kj", "kJ", "energy"),
    Look("kJ/h", "_kj_per_h", "kJ/h", icon="mdi:fire"),
    Look("s", "_s", "s", "duration"),
    Look("ms", "_ms", "ms", "duration", 1),
    Look("%", "level_pct", "%", "battery"),
    Look("%", "_pct", "%", digits=1, icon="mdi:percent"),
    # Without a class: in US units that would be inches of mercury.
    Look("mm[Hg]", "_mmhg", "mmHg", icon="mdi:heart-pulse"),
    Look("Cel", "_c", "°C", "temperature", 1),
    Look("mmol/L", "_mmol_per_l", "mmol/L", "blood_glucose_concentration", 1),
    Look("mmol/L/min", "_mmol_per_l_per_min", "mmol/L/min", digits=2, icon="mdi:trending-up"),
    # Grams of carbohydrate, milligrams of medication.
    Look("kg", "carbohydrate_kg", "kg", "weight", 3),
    Look("kg", "medication_kg", "kg", "weight", 6),
    Look("kg", "_kg", "kg", "weight", 2),
    Look("L", "_l", "L", digits=6, icon="mdi:needle"),
    Look("kg/m2", "", "kg/m²", digits=1, icon="mdi:human"),
    Look("Ohm", "_ohm", "Ω", icon="mdi:omega"),
    Look("deg", "latitude_deg", "°", digits=6, icon="mdi:latitude"),
    Look("deg", "longitude_deg", "°", digits=6, icon="mdi:longitude"),
    Look("deg", "_deg", "°", digits=1, icon="mdi:angle-acute"),
    Look("N", "_n", "N", icon="mdi:arrow-expand-right"),
    Look("N.m", "_nm", "N·m", digits=1, icon="mdi:rotate-3d-variant"),
    Look("s/(500.m)", "_s_per_500m", "s/500 m", icon="mdi:timer-outline"),
    Look("kg/m", "_kg_per_m", "kg/m", digits=2, icon="mdi:weather-windy"),
    Look("{MET}", "", "MET", digits=1, icon="mdi:fire"),
    Look("{beats}", "", "beats", icon="mdi:heart"),
    Look("{steps}", "", "steps", icon="mdi:shoe-print"),
    Look("{strides}", "", "strides", icon="mdi:shoe-print"),
    Look("{strokes}", "", "strokes", icon="mdi:rowing"),
    Look("{floors}", "", "floors", icon="mdi:stairs"),
    Look("{revolutions}", "", "revolutions", icon="mdi:rotate-right"),
    Look("1", "crr", None, digits=4, icon="mdi:road"),
    Look("1", "dop", None, digits=1, icon="mdi:crosshairs-gps"),
    Look("1", "user_id", None, icon="mdi:account"),
    Look("1", "_raw", None, icon="mdi:dumbbell"),
    Look("1", "_zone", None, icon="mdi:heart-pulse"),
    Look("1", "", None),
)

# Counters; Home Assistant handles a device that starts again from zero.
_COUNTER = re.compile(
    r"(cumulative|total|accumulated|positive|negative)_.+"
    r"|energy_expended_kj|(step|stride|stroke)_count|floors|elapsed_time_s"
)
# The mean of user ids, positions or directions is meaningless.
_NO_MEAN = re.compile(r"user_id|(latitude|longitude|bearing|heading)_deg")

_BINARY_SENSOR_CLASSES = {"battery_fault": "problem"}
"""Classes of binary sensors."""

_NAMES = {
    "level_pct": "Battery",
    "sensor_contact_detected": "Sensor contact",
    "user_id": "User",
    "met": "Metabolic equivalent",
    "systolic_mmhg": "Systolic pressure",
    "diastolic_mmhg": "Diastolic pressure",
    "carbohydrate_kg": "Carbohydrate mass",
    "medication_kg": "Medication mass",
    "medication_l": "Medication volume",
    "beats": "Beats in window",
    "ehpe_m": "Horizontal position error",
    "evpe_m": "Vertical position error",
    "crr": "Rolling resistance coefficient",
    "cw_kg_per_m": "Wind resistance coefficient",
}
_WORDS = {
    "bmi": "BMI",
    "rmssd": "RMSSD",
    "sdnn": "SDNN",
    "hdop": "HDOP",
    "vdop": "VDOP",
    "spo2": "SpO2",
    "hba1c": "HbA1c",
}

# The suffix of a number's key: its unit, which is shown separately.
_UNIT_OF_KEY = re.compile(
    "_(bpm|rpm|spm|mps|m|w|kj|kj_per_h|s|ms|pct|mmhg|c|mmol_per_l|mmol_per_l_per_min|kg|l|ohm|deg|n"
    "|nm|s_per_500m|kg_per_m|raw)$"
)

# Streams about the device itself.
_DIAGNOSTIC = frozenset({"battery", "battery_level_status", "position_quality", "cgm_status"})

# Numbers in this stream are the targets that the machine was set to, not measurements.
_TARGETS = "fitness_machine_status"
_OF_STREAMS = {
    ("training_status", "status"): "Training status",
    ("battery_level_status", "level_pct"): "Battery level",
}
_OF_EVENTS = {
    "name": "Machine event",
    "action": "Stop or pause",
    "spin_down_status": "Spin down",
}


def is_shown(key: str) -> bool:
    """Return whether a field is meant for people: others describe the packet, for programs."""
    return key not in _OF_THE_PACKET


def display_for(ucum: str, key: str) -> Look | None:
    """Return how a number with this unit and key is shown; None for a unit without a row."""
    return next((row for row in _LOOKS if row.ucum == ucum and key.endswith(row.key)), None)


def state_class(kind: str, key: str, shown: Look) -> str | None:
    """Return how Home Assistant keeps statistics of a number: as means, as differences, or not.

    Args:
        kind: of the measurement.
        key: of its field.
        shown: how it is shown; Home Assistant accepts ``energy`` for counters only.
    """
    if kind == _TARGETS or _NO_MEAN.fullmatch(key):
        return None
    counts = _COUNTER.fullmatch(key) or shown.device_class == "energy"
    return "total_increasing" if counts else "measurement"


def binary_sensor_class(key: str) -> str | None:
    """Return the class of a boolean field, or None."""
    return _BINARY_SENSOR_CLASSES.get(key)


def is_diagnostic(kind: str) -> bool:
    """Return whether a stream is about the device, and not about its wearer."""
    return kind in _DIAGNOSTIC


def name(kind: str, key: str) -> str:
    """Return a field's name for people, such as ``Heart rate``.

    Args:
        kind: of the measurement.
        key: of its field.
    """
    own = _NAMES.get(key) or title(_UNIT_OF_KEY.sub("", key))
    if kind == _TARGETS:
        return _OF_EVENTS.get(key) or f"Target {own[0].lower()}{own[1:]}"
    return _OF_STREAMS.get((kind, key), own)


def title(key: str) -> str:
    """Return a key in words, the first one capitalized."""
    text = " ".join(_WORDS.get(word, word) for word in key.split("_"))
    return text[0].upper() + text[1:]
