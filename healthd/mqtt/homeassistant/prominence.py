"""Which entities people see at first: the others are diagnostic, or disabled until enabled by hand.

Home Assistant keeps diagnostic entities off its automatic dashboards. A disabled one has no state
and no history. What a user changes in Home Assistant is kept.
"""

import re
from typing import Any

# Streams about the device itself.
_DIAGNOSTIC_STREAMS = re.compile(r"battery|battery_level_status|position_quality|cgm_status")

# How a value was measured.
_DIAGNOSTIC_KEYS = re.compile(
    r"sample_(type|location)|tester|temperature_type|(elevation|heading)_source|position_status"
    r"|pulse_rate_range|quality(_pct)?|sensor_contact_detected|stabilized|load_removed"
    r"|impedance_ohm|battery_(level_pct|low)|pedal_power_balance_reference"
    r"|offset_compensation_indicator|heart_rate_(reception|source)|speed_is_virtual|equipment"
    r"|command_status|max_resistance_n|machine"
)

# Values on the way to a result, and the shape of each turn of a crank or of each stroke.
_DISABLED_STREAMS = re.compile(
    r"intermediate_.+|cycling_power_vector|ergometer_(stroke|split|force_curve)"
)

_DISABLED_KEYS = re.compile(
    # raw counters and numbers without a unit; other keys have what they mean
    r"(cumulative|accumulated)_.+|stride_count|resistance_raw"
    # what Home Assistant's own statistics have, and what repeats another value
    r"|average_.+|energy_per_(hour|minute)_.+|met|ramp_angle_deg|(latitude|longitude)_deg"
    r"|(spo2|pulse_rate)_(fast|slow)_.+"
    # about a computation or one turn of the crank
    r"|beats|rejected_beats|window_s|(min|max)_(force|torque|angle)_.+|(top|bottom)_dead_spot_deg"
    r"|force_on_belt_n|movement_direction"
    # how many values were sent
    r"|event_count"
    # how a value was measured
    r"|sample_(type|location)|(elevation|heading)_source|pulse_rate_range|stabilized|load_removed"
    r"|pedal_power_balance_reference|offset_compensation_indicator"
    # details of the satellites
    r"|number_of_beacons_.+|time_to_first_fix_s|[hv]dop|evpe_m"
)

# In one stream only.
_DISABLED = re.compile(
    # Each device with this stream has the level in ``battery``, too.
    r"battery_level_status\.(level_pct|battery_present|(wired|wireless)_power|charge_level"
    r"|charging_type|service_required)"
    # The result itself is in ``glucose``.
    r"|glucose_context\.glucose_mmol_per_l"
    # What changes in each stroke, what was chosen before the workout, and what is about its parts.
    r"|ergometer\.(stroke_state|interval_type|machine|target_.+|work_distance_m|rest_.+"
    r"|(last_)?split_.+)"
    r"|ergometer_workout\.((ending|min|recovery)_heart_rate_bpm|drag_factor|interval_type|machine"
    r"|split_.+|rest_.+)"
    # The controls show the targets.
    r"|fitness_machine_status\.(?!name$).+"
    # of the gateway
    r"|health\.(outbox_age|memory|open_files)"
)

# Averages that are results, and that no statistics of Home Assistant have.
_ENABLED = re.compile(r"ergometer_workout\.average_.+")


def prominence(kind: str, key: str) -> dict[str, Any]:
    """Return the parts of an entity's config that say how prominent it is.

    Args:
        kind: of the measurement, or ``health`` for the gateway's counters.
        key: of its field.
    """
    config: dict[str, Any] = {}
    if _DIAGNOSTIC_STREAMS.fullmatch(kind) or _DIAGNOSTIC_KEYS.fullmatch(key):
        config["ent_cat"] = "diagnostic"
    name = f"{kind}.{key}"
    if (
        _DISABLED_STREAMS.fullmatch(kind)
        or (_DISABLED_KEYS.fullmatch(key) and not _ENABLED.fullmatch(name))
        or _DISABLED.fullmatch(name)
    ):
        config["en"] = False
    return config
