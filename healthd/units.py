"""The units of all quantities. A new unit needs one row here, and no edit elsewhere."""

from typing import NamedTuple


class Unit(NamedTuple):
    """One unit, as programs and people know it.

    Attributes:
        suffix: the end of the key of a field in this unit, without the underscore before it; it
            may be the whole key. Empty for things that are counted, and for MET: their keys name no
            unit.
        ucum: the UCUM code in the field's schema.
        symbol: how the unit is written for people.
        home_assistant: the unit that Home Assistant shows; empty if that is the symbol.
        factor: what a value is multiplied by for that unit.
        device_class: Home Assistant's class of sensors; Home Assistant rejects a sensor whose unit
            does not belong to its class.
        digits: decimal places that Home Assistant shows.
        icon: Home Assistant's icon, for units without a device class.
    """

    suffix: str
    ucum: str
    symbol: str
    home_assistant: str = ""
    device_class: str | None = None
    digits: int = 0
    icon: str | None = None
    factor: float = 1.0


_KCAL = 1 / 4.184

UNITS = (
    # Home Assistant has no class for rates per minute: ``frequency`` requires Hz.
    Unit("bpm", "/min", "bpm", icon="mdi:heart-pulse"),
    Unit("rpm", "/min", "rpm", icon="mdi:rotate-right"),
    Unit("spm", "/min", "/min", "spm", icon="mdi:shoe-print"),
    Unit("hz", "Hz", "Hz", device_class="frequency"),
    # What speedometers and treadmills show.
    Unit("mps", "m/s", "m/s", "km/h", device_class="speed", digits=1, factor=3.6),
    Unit("s_per_500m", "s/(500.m)", "s/500 m", icon="mdi:timer-outline"),
    Unit("m", "m", "m", device_class="distance", digits=2),
    Unit("deg", "deg", "°", digits=1, icon="mdi:angle-acute"),
    Unit("dps", "deg/s", "°/s", digits=1, icon="mdi:rotate-3d-variant"),
    Unit("years", "a", "years", icon="mdi:calendar"),
    Unit("s", "s", "s", device_class="duration"),
    Unit("ms", "ms", "ms", device_class="duration", digits=1),
    Unit("ns", "ns", "ns", icon="mdi:timer-outline"),
    Unit("w", "W", "W", device_class="power"),
    # What machines and watches show.
    Unit("kj", "kJ", "kJ", "kcal", device_class="energy", factor=_KCAL),
    Unit("kj_per_h", "kJ/h", "kJ/h", "kcal/h", icon="mdi:fire", factor=_KCAL),
    # Work of one stroke. Home Assistant's class ``energy`` is for counters only.
    Unit("j", "J", "J", icon="mdi:lightning-bolt-outline"),
    Unit("n", "N", "N", icon="mdi:arrow-expand-right"),
    Unit("nm", "N.m", "Nm", "N·m", digits=1, icon="mdi:rotate-3d-variant"),
    Unit("lx", "lx", "lx", device_class="illuminance"),
    Unit("ppm", "[ppm]", "ppm", icon="mdi:molecule"),
    Unit("ug_per_m3", "ug/m3", "µg/m³", icon="mdi:blur"),
    Unit("mg", "m[g]", "mg", icon="mdi:axis-arrow"),
    Unit("pct", "%", "%", digits=1, icon="mdi:percent"),
    Unit("kg", "kg", "kg", device_class="weight", digits=2),
    Unit("kg_per_m", "kg/m", "kg/m", digits=2, icon="mdi:weather-windy"),
    Unit("bmi", "kg/m2", "kg/m²", digits=1, icon="mdi:human"),
    Unit("l", "L", "L", "mL", digits=2, icon="mdi:needle", factor=1000),
    # No class: with US units, Home Assistant would show inches of mercury.
    Unit("mmhg", "mm[Hg]", "mmHg", icon="mdi:heart-pulse"),
    Unit("hpa", "hPa", "hPa", device_class="pressure", digits=1),
    Unit("c", "Cel", "°C", device_class="temperature", digits=1),
    Unit("mmol_per_l", "mmol/L", "mmol/L", device_class="blood_glucose_concentration", digits=1),
    Unit("mmol_per_l_per_min", "mmol/L/min", "mmol/L/min", digits=2, icon="mdi:trending-up"),
    Unit("ohm", "Ohm", "Ω", icon="mdi:omega"),
    Unit("uv", "uV", "µV", icon="mdi:sine-wave"),
    Unit("gauss", "G", "G", digits=3, icon="mdi:magnet"),
    # Bare numbers and counted things. UCUM puts what is counted in braces.
    Unit("", "[MET]", "MET", digits=1, icon="mdi:fire"),
    Unit("", "{beats}", "beats", icon="mdi:heart"),
    Unit("", "{steps}", "steps", icon="mdi:shoe-print"),
    Unit("", "{strides}", "strides", icon="mdi:shoe-print"),
    Unit("", "{strokes}", "strokes", icon="mdi:rowing"),
    Unit("", "{floors}", "floors", icon="mdi:stairs"),
    Unit("", "{revolutions}", "revolutions", icon="mdi:rotate-right"),
)

# The longest suffix first: kg_per_m also ends with m.
_BY_SUFFIX = sorted((unit for unit in UNITS if unit.suffix), key=lambda unit: -len(unit.suffix))
_COUNTED = {unit.ucum: unit for unit in UNITS if not unit.suffix}


def unit_of(key: str) -> Unit | None:
    """Return the unit that a key names; None for a key that names none."""
    return next((unit for unit in _BY_SUFFIX if f"_{key}".endswith(f"_{unit.suffix}")), None)


def find_unit(ucum: str, key: str) -> Unit | None:
    """Return the unit of a field.

    Args:
        ucum: the UCUM code in its schema.
        key: its key, which distinguishes units with the same code, such as bpm and rpm.

    Returns:
        None if no unit has this code, or if the key names another unit.
    """
    if counted := _COUNTED.get(ucum):
        return counted
    unit = unit_of(key)
    return unit if unit is not None and unit.ucum == ucum else None
