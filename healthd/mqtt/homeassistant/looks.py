"""How Home Assistant shows a measurement's field: by its unit and key, with a readable name."""

import re
from typing import NamedTuple

from healthd.units import find_unit, unit_of

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
    """How a number is shown.

    Attributes:
        unit: in Home Assistant's words; None for a bare number.
        device_class: of a sensor.
        digits: decimal places.
        icon: for numbers without a device class.
    """

    unit: str | None
    device_class: str | None = None
    digits: int = 0
    icon: str | None = None


# Fields that are shown differently from others of their unit (healthd.units), by what their keys
# end with.
_EXCEPTIONS = {
    "distance_m": Look("m", "distance"),
    # Energy per day, not energy used so far: Home Assistant's ``energy`` is for counters only.
    "basal_metabolism_kj": Look("kJ", icon="mdi:fire"),
    "level_pct": Look("%", "battery"),
    # Grams of carbohydrate, milligrams of medication.
    "carbohydrate_kg": Look("kg", "weight", 3),
    "medication_kg": Look("kg", "weight", 6),
    "latitude_deg": Look("°", digits=6, icon="mdi:latitude"),
    "longitude_deg": Look("°", digits=6, icon="mdi:longitude"),
}
_BARE_NUMBERS = {
    "crr": Look(None, digits=4, icon="mdi:road"),
    "dop": Look(None, digits=1, icon="mdi:crosshairs-gps"),
    "user_id": Look(None, icon="mdi:account"),
    "_raw": Look(None, icon="mdi:dumbbell"),
    "_zone": Look(None, icon="mdi:heart-pulse"),
    "": Look(None),
}

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
    """Return how a number with this unit and key is shown; None for an unknown unit."""
    exceptions = _BARE_NUMBERS if ucum == "1" else _EXCEPTIONS
    for end, exception in exceptions.items():
        if key.endswith(end):
            return exception
    unit = find_unit(ucum, key)
    if unit is None:
        return None
    name = unit.home_assistant or unit.symbol
    return Look(name, unit.device_class, unit.digits, unit.icon)


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
    own = _NAMES.get(key) or title(_without_unit(key))
    if kind == _TARGETS:
        return _OF_EVENTS.get(key) or f"Target {own[0].lower()}{own[1:]}"
    return _OF_STREAMS.get((kind, key), own)


def _without_unit(key: str) -> str:
    """Return the key without its end that repeats the unit, if anything is left."""
    unit = unit_of(key)
    return key.removesuffix(f"_{unit.suffix}" if unit else "_raw")


def title(key: str) -> str:
    """Return a key in words, the first one capitalized."""
    text = " ".join(_WORDS.get(word, word) for word in key.split("_"))
    return text[0].upper() + text[1:]
