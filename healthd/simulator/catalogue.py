"""All models of devices that healthd links, by name; ``select_models`` knows the others, too."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from bumble.core import UUID

from healthd.simulator.broadcasting.catalogue import BROADCASTING, BroadcastModel
from healthd.simulator.fitness.bike import indoor_bike
from healthd.simulator.fitness.others import cross_trainer, rower, stair_climber, step_climber
from healthd.simulator.fitness.treadmill import treadmill
from healthd.simulator.health.cgm import continuous_glucose
from healthd.simulator.health.cuff import blood_pressure
from healthd.simulator.health.experimental import generic_health_sensor, physical_activity_monitor
from healthd.simulator.health.glucose import glucose
from healthd.simulator.health.oximeter import pulse_oximeter
from healthd.simulator.health.scale import (
    CONSENT_FILE,
    body_composition,
    user_scale,
    weight_scale,
)
from healthd.simulator.health.thermometer import health_thermometer
from healthd.simulator.heart import SyntheticHeart
from healthd.simulator.part import Part, Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.polar.h10 import polar_h10, polar_h10_of_raw_signals
from healthd.simulator.sensors.cycling_speed import cycling_speed_cadence
from healthd.simulator.sensors.location_pod import location_navigation
from healthd.simulator.sensors.power_meter import cycling_power
from healthd.simulator.sensors.running_pod import running_speed_cadence
from healthd.simulator.strap import strap_parts
from healthd.simulator.vendor import omron as cuffs
from healthd.simulator.vendor.clips import contec, jumper, nonin
from healthd.simulator.vendor.core import core
from healthd.simulator.vendor.fec import fec
from healthd.simulator.vendor.kickr import kickr
from healthd.simulator.vendor.o2ring import o2ring
from healthd.simulator.vendor.pm5 import pm5
from healthd.simulator.vendor.qardio import qardio
from healthd.simulator.vendor.yonker import yonker

# Devices that measure occasionally measure this often, so that a demo need not wait for hours.
_OCCASIONAL_S = 4.0

# FE-C trainers send four pages a second.
_FEC_PAGE_S = 0.25


@dataclass(frozen=True, slots=True)
class Model:
    """A device model that the simulator can create.

    Attributes:
        name: The name for users: that of its profile, or its own if a profile has several models.
        profile: Name of the profile that the model demonstrates.
        label: The default advertised name.
        parts: Creates its services from a random generator and a period in seconds.
        period: The default time between two measurements, in seconds.
        settings: The settings an entry needs so that healthd reads everything from the device.
        key: The key that was agreed with the device, as by ``healthd pair``; None if it needs none.
    """

    name: str
    profile: str
    label: str
    parts: Callable[[random.Random, float], tuple[Part, ...]]
    period: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: bytes | None = None

    def make(
        self,
        address: str,
        rng: random.Random,
        *,
        name: str | None = None,
        period: float | None = None,
        record: Callable[[Sent], None] | None = None,
    ) -> VirtualPeripheral:
        """Create a device of this model.

        Args:
            address: Its Bluetooth address.
            rng: The random generator for its values.
            name: The advertised name; by default the model's label.
            period: Seconds between two measurements; by default the model's period.
            record: Called with every notification when it is handed to the link.
        """
        parts = self.parts(random.Random(rng.random()), period or self.period)
        return VirtualPeripheral(name or self.label, address, parts, record=record)


def _heart_rate(rng: random.Random, period: float) -> tuple[Part, ...]:
    return strap_parts(SyntheticHeart(rng, mean_bpm=rng.uniform(60, 120)), period)


_MODELS = (
    Model("heart_rate", "heart_rate", "Strap", _heart_rate),
    Model(
        "polar_pmd",
        "polar_pmd",
        "Polar H10 SIM",
        polar_h10,
        settings={"pmd": ["ecg", "acceleration"]},
    ),
    Model("cycling_speed_cadence", "cycling_speed_cadence", "Speed Sensor", cycling_speed_cadence),
    Model("cycling_power", "cycling_power", "Power Meter", cycling_power),
    Model("running_speed_cadence", "running_speed_cadence", "Pod", running_speed_cadence),
    Model("location_navigation", "location_navigation", "Navigator", location_navigation),
    Model("fitness_machine", "fitness_machine", "Bike", indoor_bike),
    Model("treadmill", "fitness_machine", "Treadmill", treadmill),
    Model("cross_trainer", "fitness_machine", "Cross Trainer", cross_trainer),
    Model("rower", "fitness_machine", "Rower", rower),
    Model("stair_climber", "fitness_machine", "Stairs", stair_climber),
    Model("step_climber", "fitness_machine", "Stepper", step_climber),
    Model(
        "health_thermometer",
        "health_thermometer",
        "Thermometer",
        health_thermometer,
        _OCCASIONAL_S,
    ),
    Model("blood_pressure", "blood_pressure", "Cuff", blood_pressure, _OCCASIONAL_S),
    Model("weight_scale", "weight_scale", "Scale", weight_scale, _OCCASIONAL_S),
    Model("body_composition", "body_composition", "Body Scale", body_composition, _OCCASIONAL_S),
    Model(
        "user_scale",
        "user_data",
        "User Scale",
        user_scale,
        _OCCASIONAL_S,
        {"user": 1, "consent_file": str(CONSENT_FILE)},
    ),
    Model("glucose", "glucose", "Glucose Meter", glucose),
    Model(
        "continuous_glucose",
        "continuous_glucose",
        "Glucose Monitor",
        continuous_glucose,
        _OCCASIONAL_S,
    ),
    Model("pulse_oximeter", "pulse_oximeter", "Oximeter", pulse_oximeter),
    Model("generic_health_sensor", "generic_health_sensor", "Observer", generic_health_sensor),
    Model(
        "physical_activity_monitor",
        "physical_activity_monitor",
        "Activity",
        physical_activity_monitor,
    ),
    Model("fec", "fec", "Neo", fec, _FEC_PAGE_S),
    Model("kickr", "cycling_power", "KICKR", kickr),
    Model("qardio", "blood_pressure", "QardioARM", qardio, _OCCASIONAL_S),
    Model("core", "core", "CORE", core),
    Model("yonker", "yonker", "BPW5", yonker, _OCCASIONAL_S),
    Model("pm5", "pm5", "PM5 430000000 Row", pm5, 0.5),
    # Cuffs advertise a group and a model; the second number is made up.
    Model("omron", "omron", "BLEsmart_00000258SIM", cuffs.omron, _OCCASIONAL_S, key=cuffs.KEY),
    Model(
        "omron_modern", "omron_modern", "BLEsmart_000004A0SIM", cuffs.omron_modern, _OCCASIONAL_S
    ),
    Model("o2ring", "o2ring", "O2Ring", o2ring),
    Model("contec", "contec", "SpO2080001", contec),
    Model("nonin", "nonin", "Nonin323", nonin),
    Model("jumper", "jumper", "Oximeter", jumper),
)

CATALOGUE: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})
"""All models by name."""


def _advertising(model: str, number: int) -> Model:
    """Return a model whose devices advertise this service, and no other one."""
    make, uuid = CATALOGUE[model].parts, UUID.from_16_bits(number)

    def parts(rng: random.Random, period: float) -> tuple[Part, ...]:
        made = make(rng, period)
        return tuple(replace(part, advertised=part.service.uuid == uuid) for part in made)

    return replace(CATALOGUE[model], parts=parts)


# A device that healthd finds by a service must advertise that service.
_BY_SERVICE = {
    "polar_pmd": replace(CATALOGUE["polar_pmd"], label="H10", parts=polar_h10_of_raw_signals),
    "battery": _advertising("heart_rate", 0x180F),
    "device_information": _advertising("heart_rate", 0x180A),
    "current_time": _advertising("weight_scale", 0x1805),
    "user_data": _advertising("weight_scale", 0x181C),
}


def model_for_service(profile: str) -> Model:
    """Return the model that advertises the service of this profile.

    Raises:
        KeyError: there is none.
    """
    return _BY_SERVICE.get(profile) or CATALOGUE[profile]


def select_models(names: Iterable[str]) -> list[Model | BroadcastModel]:
    """Return the models with these names, in this order and each one once.

    Args:
        names: Each string has one name, or several separated by commas.

    Raises:
        ValueError: A name is empty or unknown; the message lists the known names.
    """
    known: Mapping[str, Model | BroadcastModel] = {**CATALOGUE, **BROADCASTING}
    wanted = [name.strip() for listed in names for name in listed.split(",")]
    for name in wanted:
        if name not in known:
            raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(wanted)]
