"""How Home Assistant shows a measurement's field: by its unit and key."""

import re
from typing import NamedTuple

from healthd.units import find_unit

# Fields about the packet, the device's clock, its memory or its numbers, and fields that say how to
# read another field: nothing that a person would watch.
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
        "unattributed",
        "equipment_id",
        "version",
        "packet_id",
        "packet",
        "packets",
        "encryption_counter",
        "page",
        "requested_page",
        "command_page",
        "command_sequence",
        "command_data",
        "hardware_revision",
        "manufacturer_number",
        "model_number",
        "software_revision",
        "software_supplement",
        "serial_number",
    }
)


class Look(NamedTuple):
    """How a number is shown.

    Attributes:
        unit: in Home Assistant's words; None for a bare number.
        device_class: of a sensor.
        digits: decimal places.
        icon: for numbers without a device class.
        factor: what the value is multiplied by for this unit.
    """

    unit: str | None
    device_class: str | None = None
    digits: int = 0
    icon: str | None = None
    factor: float = 1.0


# Fields that are shown differently from others of their unit (healthd.units), by what their keys
# end with.
_EXCEPTIONS = {
    "total_distance_m": Look("km", "distance", 2, factor=0.001),
    "remaining_distance_m": Look("km", "distance", 2, factor=0.001),
    "distance_m": Look("m", "distance"),
    "elevation_m": Look("m", "distance", 1),
    "elevation_gain_m": Look("m", "distance"),
    # Devices send these in whole degrees.
    "max_angle_deg": Look("°", icon="mdi:angle-acute"),
    "min_angle_deg": Look("°", icon="mdi:angle-acute"),
    "dead_spot_deg": Look("°", icon="mdi:angle-acute"),
    # Energy per day, not energy used so far: Home Assistant's ``energy`` is for counters only.
    "basal_metabolism_kj": Look("kcal", icon="mdi:fire", factor=1 / 4.184),
    # A sum of powers, which is no power.
    "accumulated_power_w": Look("W", icon="mdi:sigma"),
    # What cyclists call their work; a power meter counts it in steps of 1 kJ.
    "accumulated_energy_kj": Look("kJ", "energy"),
    "level_pct": Look("%", "battery"),
    "humidity_pct": Look("%", "humidity", 1),
    "moisture_pct": Look("%", "moisture", 1),
    "co2_ppm": Look("ppm", "carbon_dioxide"),
    "pm2_5_ug_per_m3": Look("µg/m³", "pm25"),
    "pm10_ug_per_m3": Look("µg/m³", "pm10"),
    "tvoc_ug_per_m3": Look("µg/m³", "volatile_organic_compounds"),
    "spo2_pct": Look("%", icon="mdi:lungs"),
    "spo2_fast_pct": Look("%", icon="mdi:lungs"),
    "spo2_slow_pct": Look("%", icon="mdi:lungs"),
    "body_fat_pct": Look("%", digits=1, icon="mdi:human"),
    "muscle_pct": Look("%", digits=1, icon="mdi:arm-flex"),
    "inclination_pct": Look("%", digits=1, icon="mdi:slope-uphill"),
    "grade_pct": Look("%", digits=1, icon="mdi:slope-uphill"),
    "pedal_power_balance_pct": Look("%", digits=1, icon="mdi:scale-balance"),
    "pulse_amplitude_index_pct": Look("%", digits=1, icon="mdi:sine-wave"),
    "exercise_intensity_pct": Look("%", icon="mdi:run-fast"),
    "hba1c_pct": Look("%", digits=1, icon="mdi:water-percent"),
    "quality_pct": Look("%", icon="mdi:signal"),
    "stroke_rate_spm": Look("spm", digits=1, icon="mdi:rowing"),
    # Lengths of one stroke.
    "drive_length_m": Look("m", "distance", 2),
    "stroke_distance_m": Look("m", "distance", 2),
    # Pieces of one stroke.
    "drive_time_s": Look("s", "duration", 2),
    "recovery_time_s": Look("s", "duration", 2),
    "carbohydrate_kg": Look("g", "weight", factor=1000),
    "medication_kg": Look("mg", "weight", 1, factor=1_000_000),
    "latitude_deg": Look("°", digits=6, icon="mdi:latitude"),
    "longitude_deg": Look("°", digits=6, icon="mdi:longitude"),
    "heading_deg": Look("°", icon="mdi:compass-outline"),
    "bearing_deg": Look("°", icon="mdi:compass-outline"),
}
_BARE_NUMBERS = {
    "crr": Look(None, digits=4, icon="mdi:road"),
    "drag_factor": Look(None, icon="mdi:fan"),
    "dop": Look(None, digits=1, icon="mdi:crosshairs-gps"),
    "gear": Look(None, icon="mdi:cog"),
    "heat_strain_index": Look(None, digits=1, icon="mdi:thermometer-alert"),
    "movement": Look(None, icon="mdi:run"),
    "user_id": Look(None, icon="mdi:account"),
    "uv_index": Look(None, digits=1, icon="mdi:sun-wireless"),
    "_raw": Look(None, icon="mdi:dumbbell"),
    "_zone": Look(None, icon="mdi:heart-pulse"),
    "number_of_beacons_in_solution": Look(None, icon="mdi:satellite-variant"),
    "number_of_beacons_in_view": Look(None, icon="mdi:satellite-variant"),
    "": Look(None, icon="mdi:counter"),
}

# Of words and booleans.
_ICONS = {
    "action": "mdi:pause-circle-outline",
    "active": "mdi:rowing",
    "battery_present": "mdi:battery",
    "carbohydrate": "mdi:food-apple",
    "charge_level": "mdi:battery-check",
    "charge_state": "mdi:battery-charging",
    "charging_type": "mdi:battery-charging-outline",
    "command_status": "mdi:message-check",
    "destination_reached": "mdi:flag-checkered",
    "elevation_source": "mdi:image-filter-hdr",
    "equipment": "mdi:bike",
    "heading_source": "mdi:compass-outline",
    "heart_rate_reception": "mdi:heart-settings",
    "heart_rate_source": "mdi:heart-settings",
    "health": "mdi:emoticon-sick-outline",
    "indicator": "mdi:map-marker-path",
    "interval_type": "mdi:timer-sand",
    "light_level": "mdi:brightness-6",
    "load_removed": "mdi:scale-off",
    "machine": "mdi:rowing",
    "meal": "mdi:silverware-fork-knife",
    "medication": "mdi:pill",
    "movement_direction": "mdi:swap-horizontal",
    "name": "mdi:bell-outline",
    "offset_compensation_indicator": "mdi:tune",
    "pedal_power_balance_reference": "mdi:scale-balance",
    "person": "mdi:account",
    "position_status": "mdi:crosshairs-gps",
    "pulse_rate_range": "mdi:heart-pulse",
    "quality": "mdi:check-decagram",
    "running": "mdi:run",
    "sample_location": "mdi:hand-back-right",
    "sample_type": "mdi:test-tube",
    "sensor_contact_detected": "mdi:hand-heart",
    "service_required": "mdi:wrench",
    "speed_is_virtual": "mdi:speedometer",
    "spin_down_status": "mdi:rotate-right",
    "stabilized": "mdi:scale",
    "state": "mdi:bike",
    "status": "mdi:clipboard-pulse-outline",
    "stroke_state": "mdi:rowing",
    "target_state": "mdi:bullseye-arrow",
    "temperature_type": "mdi:thermometer-lines",
    "tester": "mdi:account-eye",
    "waypoint_reached": "mdi:map-marker-check",
    "wired_power": "mdi:power-plug",
    "wireless_power": "mdi:battery-charging-wireless",
    "workout_state": "mdi:clipboard-play-outline",
    "workout_type": "mdi:clipboard-text-outline",
}
_ANY_ICON = "mdi:information-outline"

# Counters; Home Assistant handles a device that starts again from zero.
_COUNTER = re.compile(
    r"(cumulative|total|accumulated|positive|negative)_.+"
    r"|energy_expended_kj|(step|stride|stroke)_count|floors|elapsed_time_s|distance_m"
)
# Each value is that of another stroke, split or workout: their sum is no difference of two values.
_SINGLE = re.compile(r"ergometer_(stroke|split|workout)")
# The mean of user ids, positions or directions is meaningless.
_NO_MEAN = re.compile(r"user_id|(latitude|longitude|bearing|heading)_deg")

_BINARY_SENSOR_CLASSES = {
    "battery_fault": "problem",
    "battery_low": "battery",
    "carbon_monoxide_detected": "carbon_monoxide",
    "charging": "battery_charging",
    "door_open": "door",
    "gas_detected": "gas",
    "light_detected": "light",
    "motion_detected": "motion",
    "moving": "moving",
    "occupied": "occupancy",
    "open": "opening",
    "present": "presence",
    "smoke_detected": "smoke",
    "sound_detected": "sound",
    "vibration_detected": "vibration",
    "wet": "moisture",
    "window_open": "window",
}
"""Classes of binary sensors."""


# Numbers in this stream are the targets that the machine was set to, not measurements.
_TARGETS = "fitness_machine_status"


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
    return Look(name, unit.device_class, unit.digits, unit.icon, unit.factor)


def state_class(kind: str, key: str, shown: Look) -> str | None:
    """Return how Home Assistant keeps statistics of a number: as means, as differences, or not.

    Args:
        kind: of the measurement.
        key: of its field.
        shown: how it is shown; Home Assistant accepts ``energy`` for counters only.
    """
    if kind == _TARGETS or _NO_MEAN.fullmatch(key):
        return None
    if shown.device_class == "energy" and key.startswith("target_"):
        return None
    counts = _COUNTER.fullmatch(key) or shown.device_class == "energy"
    if counts and _SINGLE.fullmatch(kind):
        return None
    return "total_increasing" if counts else "measurement"


def binary_sensor_class(key: str) -> str | None:
    """Return the class of a boolean field, or None."""
    return _BINARY_SENSOR_CLASSES.get(key)


def icon(key: str) -> str:
    """Return the icon of a word or a boolean."""
    return _ICONS.get(key, _ANY_ICON)
