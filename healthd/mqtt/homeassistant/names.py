"""The names of entities: what they measure and, if that is ambiguous, in which stream.

A name decides the entity's id when Home Assistant sees it for the first time, so it must not depend
on which stream sends first. Of the kinds that a device can send, one has the plain name. All others
have the stream added.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from healthd.units import unit_of

_NAMES = {
    "level_pct": "Battery",
    "sensor_contact_detected": "Sensor contact",
    "user_id": "User",
    "pm2_5_ug_per_m3": "PM2.5",
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
    "co2": "CO2",
    "pm10": "PM10",
    "tvoc": "TVOC",
    "uv": "UV",
    "rmssd": "RMSSD",
    "sdnn": "SDNN",
    "hdop": "HDOP",
    "vdop": "VDOP",
    "spo2": "SpO2",
    "hba1c": "HbA1c",
}

# Numbers in this stream are the targets that the machine was set to, not measurements. The controls
# that set them have the plain names.
_TARGETS = "fitness_machine_status"
_OF_STREAMS = {
    ("training_status", "status"): "Training status",
    ("battery_level_status", "level_pct"): "Battery level",
    (_TARGETS, "name"): "Machine event",
    (_TARGETS, "action"): "Stop or pause",
    (_TARGETS, "spin_down_status"): "Spin down",
    ("bike_trainer", "state"): "Trainer state",
}

# A machine is one of these.
_MACHINES = (
    "treadmill",
    "cross_trainer",
    "step_climber",
    "stair_climber",
    "rower",
    "indoor_bike",
    "bike_trainer",
    "ergometer",
)

# Which kinds have the plain names, the first one first; then all others in alphabetical order.
_FIRST = (
    "heart_rate",
    *_MACHINES,
    "cycling_power",
    "cycling_speed_cadence",
    "running_speed_cadence",
    "location_and_speed",
    "weight",
    "blood_pressure",
    "glucose",
)
_INTERMEDIATE = "intermediate_"

# What is added for a kind of which the words would be long.
_STREAMS = {
    "cycling_power": "power meter",
    "cycling_power_vector": "power vector",
    "cycling_speed_cadence": "speed sensor",
    "running_speed_cadence": "running sensor",
    "location_and_speed": "location",
    "cgm": "monitor",
    "ergometer_stroke": "stroke",
    "ergometer_split": "split",
    "ergometer_workout": "workout",
    "glucose_context": "context",
    "pulse_oximeter_spot_check": "spot check",
}


class ShownKind(NamedTuple):
    """A kind of measurement, and what is shown of it.

    Attributes:
        kind: its name.
        keys: its fields that have an entity.
        profiles: the profiles that publish it.
    """

    kind: str
    keys: Iterable[str]
    profiles: frozenset[str]


class Device(NamedTuple):
    """What is known about a device.

    Attributes:
        profiles: those that it has.
        kinds: those that it has sent.
    """

    profiles: Collection[str]
    kinds: Collection[str]


class Names:
    """The names of all entities, which differ from each other on every device."""

    def __init__(self, everything: Iterable[ShownKind]) -> None:
        """Index everything that is shown of any device."""
        self._profiles: dict[str, frozenset[str]] = {}
        rivals: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for kind, keys, profiles in sorted(everything, key=lambda shown: _rank(shown.kind)):
            self._profiles[kind] = profiles
            for key in keys:
                rivals[plain_name(kind, key)][kind] = None
        self._rivals = {name: tuple(kinds) for name, kinds in rivals.items()}

    def of(self, kind: str, key: str, device: Device) -> str:
        """Return a field's name for people, such as ``Heart rate`` or ``Heart rate (rower)``."""
        name = plain_name(kind, key)
        for rival in self._rivals.get(name, ()):
            if rival == kind:
                break
            if self._may_send(device, rival, kind):
                return f"{name} ({_stream(kind, name)})"
        return name

    def _may_send(self, device: Device, rival: str, kind: str) -> bool:
        """Return whether a device that sends one kind may also send the other one."""
        if rival in device.kinds:
            # Several profiles may publish it, and it is not known yet which one this is.
            return True
        if rival in _MACHINES and kind in _MACHINES:
            return False
        profiles = self._profiles[rival]
        return not profiles.isdisjoint(self._profiles[kind]) or not profiles.isdisjoint(
            device.profiles
        )

    def profiles_of(self, kinds: Iterable[str]) -> set[str]:
        """Return the profiles that a device which sends these kinds must have."""
        return {
            profile
            for kind in kinds
            if len(known := self._profiles.get(kind, frozenset[str]())) == 1
            for profile in known
        }


def _stream(kind: str, name: str) -> str:
    """Return the words for a stream, without those that the name has already."""
    words = (_STREAMS.get(kind) or kind.replace("_", " ")).split()
    said = name.lower().split()
    return " ".join(word for word in words if word not in said) or " ".join(words)


def _rank(kind: str) -> tuple[bool, int, str]:
    preferred = _FIRST.index(kind) if kind in _FIRST else len(_FIRST)
    return kind.startswith(_INTERMEDIATE), preferred, kind


def plain_name(kind: str, key: str) -> str:
    """Return a field's name on a device that has nothing similar, such as ``Heart rate``."""
    if own := _OF_STREAMS.get((kind, key)):
        return own
    name = _NAMES.get(key) or title(_without_unit(key))
    if kind == _TARGETS:
        return f"Reported target {name[0].lower()}{name[1:]}"
    return name


def title(key: str) -> str:
    """Return a key in words, the first one capitalized."""
    text = " ".join(_WORDS.get(word, word) for word in key.split("_"))
    return text[0].upper() + text[1:]


def _without_unit(key: str) -> str:
    """Return the key without its end that repeats the unit, if anything is left."""
    unit = unit_of(key)
    return key.removesuffix(f"_{unit.suffix}" if unit else "_raw")
