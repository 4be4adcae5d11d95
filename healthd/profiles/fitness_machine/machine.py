"""What a fitness machine reports about itself that matters for requests to it."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.common.machines import TREADMILL_DATA, Learned, Range
from healthd.profiles.fitness_machine.commands import Write, set_simulation, set_target_speed
from healthd.profiles.fitness_machine.control_point import decode_control_point
from healthd.profiles.fitness_machine.features import (
    decode_feature,
    decode_inclination_range,
    decode_power_range,
    decode_resistance_range,
    decode_speed_range,
)
from healthd.samples import Measurement

FEATURE, BIKE_DATA = "2acc", "2ad2"
SPEEDS, INCLINATIONS, RESISTANCES, POWERS = "2ad4", "2ad5", "2ad6", "2ad8"


def exact(number: float) -> Fraction:
    """Return a number as it is written in decimal: 0.3 is 3/10."""
    return Fraction(repr(number))


class _Source(NamedTuple):
    """Where a range comes from: its characteristic, the suffix of its keys, and its unit.

    ``per_unit`` is the number of a request's steps in one unit. ``scale`` is the same for the
    range, if it is decoded in steps.
    """

    uuid: str
    decode: Callable[[bytes], Measurement]
    suffix: str
    per_unit: int
    scale: int = 1


_RANGES = {
    "power_w": _Source(POWERS, decode_power_range, "w", 1),
    "resistance_level": _Source(RESISTANCES, decode_resistance_range, "raw", 10, scale=10),
    "speed_mps": _Source(SPEEDS, decode_speed_range, "mps", 360),
    "inclination_pct": _Source(INCLINATIONS, decode_inclination_range, "pct", 10),
}


class RoadCode(NamedTuple):
    """How a simulated road is written.

    Attributes:
        write: makes the bytes from the keys of the request.
        read: returns the road in these bytes as the machine reads it, by the same keys.
    """

    write: Write
    read: Callable[[bytes], Mapping[str, float]]


def _road_in(request: bytes) -> Mapping[str, float]:
    message = decode_control_point(request).fields()
    return {key: message[key] for key in ("grade_pct", "wind_speed_mps", "crr", "cw_kg_per_m")}


_ROAD = RoadCode(set_simulation, _road_in)


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known about a machine, on one link.

    Attributes:
        characteristics: canonical UUIDs of its characteristics.
        targets: targets that it claims to accept; None if it does not report them.
        ranges: the ranges that it accepts, by the key of a request; only those that it reports.
        narrow: whether it takes a resistance in one byte.
        writers: by the key of a request, what makes its bytes if not `commands`.
        speed_factor: by what its speeds are multiplied.
        steps: by the key of a request, the step of the number that is written, if not as usual.
        road: how a simulated road is written.
        has_session: whether it can be started.
    """

    characteristics: AbstractSet[str] = frozenset()
    targets: AbstractSet[str] | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    narrow: bool = False
    writers: Mapping[str, Write] = field(default_factory=dict[str, Write])
    speed_factor: float = 1.0
    steps: Mapping[str, Fraction] = field(default_factory=dict[str, Fraction])
    road: RoadCode = _ROAD
    has_session: bool = True

    @property
    def is_treadmill(self) -> bool:
        """Whether it has a belt, from which people can fall."""
        return TREADMILL_DATA in self.characteristics

    @property
    def simulates(self) -> bool:
        """Whether it claims to simulate a road."""
        return self.targets is not None and "indoor_bike_simulation" in self.targets

    def lacks(self, target: str, witness: str) -> bool:
        """Return whether the machine certainly does not accept this target.

        Machines are often wrong about their features, so a missing feature alone is no proof. But a
        machine that gets a request it does not know may stop sending. So the machine must also lack
        a characteristic that belongs to the feature.

        Args:
            target: name of the feature.
            witness: UUID of a characteristic that all machines with the feature have.
        """
        denied = self.targets is not None and target not in self.targets
        return denied and witness not in self.characteristics

    def corrected(self, learned: Learned) -> "Machine":
        """Return the machine as it has shown to be, whatever it says about itself."""
        return self if learned.narrow is None else replace(self, narrow=learned.narrow)

    def step(self, key: str) -> Fraction:
        """Return the step of the number that is written for this key of a request, in its unit."""
        if (step := self.steps.get(key)) is not None:
            return step
        factor = exact(self.speed_factor) if key == "speed_mps" else 1
        return factor / Fraction(_RANGES[key].per_unit)


def machine_of(
    characteristics: AbstractSet[str],
    facts: Mapping[str, bytes],
    decoders: Mapping[str, Callable[[bytes], Measurement]] | None = None,
    writers: Mapping[str, Write] | None = None,
    speed_factor: float = 1.0,
) -> Machine:
    """Return what these characteristics and their values say about the machine.

    Args:
        characteristics: canonical UUIDs.
        facts: values by UUID, of the characteristics that could be read.
        decoders: by UUID, what this machine's values are decoded with if not as usual.
        writers: see `Machine`.
        speed_factor: by what its speeds are multiplied.
    """
    decoders = decoders or {}
    feature = _fields(decode_feature, facts.get(FEATURE))
    targets: list[str] | None = feature.get("target_settings")
    ranges: dict[str, Range] = {}
    for key, source in _RANGES.items():
        decode = decoders.get(source.uuid, source.decode)
        found = _fields(decode, facts.get(source.uuid))
        low, high = found.get(f"min_{source.suffix}"), found.get(f"max_{source.suffix}")
        # The maker has not filled in a range that allows nothing.
        if low is not None and high is not None and low < high:
            increment = found.get(f"increment_{source.suffix}", 0)
            # Decoded limits are rounded; the steps that they were made of are exact.
            steps = (round(limit / source.scale * source.per_unit) for limit in (low, high))
            factor = speed_factor if key == "speed_mps" else 1
            low, high = (step * factor / source.per_unit for step in steps)
            increment = round(increment / source.scale * source.per_unit) * factor
            grain = factor / source.per_unit
            ranges[key] = Range(low, high, grain, increment / source.per_unit)
    width = _fields(decode_resistance_range, facts.get(RESISTANCES)).get("width")
    return Machine(
        frozenset(characteristics),
        None if targets is None else frozenset(targets),
        ranges,
        width == "u8",
        _with_speed_factor(writers or {}, speed_factor),
        speed_factor,
    )


def _with_speed_factor(writers: Mapping[str, Write], factor: float) -> Mapping[str, Write]:
    if factor == 1:
        return writers
    return {**writers, "speed_mps": partial(_set_own_speed, factor=factor)}


def _set_own_speed(*, speed_mps: float, factor: float) -> bytes:
    return set_target_speed(speed_mps=speed_mps / factor)


def _fields(decode: Callable[[bytes], Measurement], value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        return decode(value).fields()
    except DecodeError:
        return {}
