"""What a fitness machine says of itself that matters when it is told something."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.fitness_machine.features import (
    decode_feature,
    decode_inclination_range,
    decode_power_range,
    decode_resistance_range,
    decode_speed_range,
)
from healthd.samples import Measurement

FEATURE, BIKE_DATA, TREADMILL_DATA = "2acc", "2ad2", "2acd"
SPEEDS, INCLINATIONS, RESISTANCES, POWERS = "2ad4", "2ad5", "2ad6", "2ad8"


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most that is allowed.

    Attributes:
        low: least.
        high: most.
        grain: what the number that is written can tell apart: a value that is nearer to a limit
            than half of it is written as the limit. 5.5556 m/s are 20 km/h, and so are 5.556.
        increment: in steps of this, as far as that is said; 0: it is not.
    """

    low: float
    high: float
    grain: float = 0.0
    increment: float = 0.0

    def allows(self, value: float) -> bool:
        """Whether the value is within it; NaN never is."""
        slack = self.grain / 2
        nearly = bool(slack) and self.low - slack < value < self.high + slack
        return nearly or self.low <= value <= self.high

    def __str__(self) -> str:
        """As a person reads it."""
        steps = f" in steps of {round(self.increment, 3):.10g}" if self.increment else ""
        return f"{round(self.low, 3):.10g} to {round(self.high, 3):.10g}{steps}"


class _Told(NamedTuple):
    """How a range is told: its characteristic, keys and unit.

    ``per_unit`` is how many steps of a request are one of its unit; ``scale`` the same of a range,
    where that is decoded in steps.
    """

    uuid: str
    decode: Callable[[bytes], Measurement]
    suffix: str
    per_unit: int
    scale: int = 1


_RANGES = {
    "power_w": _Told(POWERS, decode_power_range, "w", 1),
    "resistance_level": _Told(RESISTANCES, decode_resistance_range, "raw", 10, scale=10),
    "speed_mps": _Told(SPEEDS, decode_speed_range, "mps", 360),
    "inclination_pct": _Told(INCLINATIONS, decode_inclination_range, "pct", 10),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of one, on one link.

    Attributes:
        characteristics: canonical UUIDs of what it has.
        targets: what it says that it can be told; None where it does not say.
        ranges: within which limits, by the key of a request; absent where it does not say.
        narrow: it takes a resistance in one byte.
    """

    characteristics: AbstractSet[str] = frozenset()
    targets: AbstractSet[str] | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    narrow: bool = False

    @property
    def is_treadmill(self) -> bool:
        """Whether it has a belt, from which people fall."""
        return TREADMILL_DATA in self.characteristics

    @property
    def simulates(self) -> bool:
        """Whether it says that it can be told what road to feel like."""
        return self.targets is not None and "indoor_bike_simulation" in self.targets

    def lacks(self, target: str, witness: str) -> bool:
        """Whether it is certain that it cannot be told this.

        Machines are often wrong about their features, and one that is told what it does not know
        may stop to send: it takes two witnesses, the feature and what it would have beside it.

        Args:
            target: name of the feature.
            witness: UUID of a characteristic that all machines with the feature have.
        """
        denied = self.targets is not None and target not in self.targets
        return denied and witness not in self.characteristics


def machine_of(characteristics: AbstractSet[str], facts: Mapping[str, bytes]) -> Machine:
    """The machine that has these characteristics, and says this of itself.

    Args:
        characteristics: canonical UUIDs.
        facts: values by UUID, of those that could be read.
    """
    feature = _fields(decode_feature, facts.get(FEATURE))
    targets: list[str] | None = feature.get("target_settings")
    ranges: dict[str, Range] = {}
    for key, told in _RANGES.items():
        said = _fields(told.decode, facts.get(told.uuid))
        low, high = said.get(f"min_{told.suffix}"), said.get(f"max_{told.suffix}")
        # One that allows nothing was never filled in.
        if low is not None and high is not None and low < high:
            increment = said.get(f"increment_{told.suffix}", 0)
            scale, grain = told.scale, 1 / told.per_unit
            ranges[key] = Range(low / scale, high / scale, grain, increment / scale)
    width = _fields(decode_resistance_range, facts.get(RESISTANCES)).get("width")
    return Machine(
        frozenset(characteristics),
        None if targets is None else frozenset(targets),
        ranges,
        width == "u8",
    )


def _fields(decode: Callable[[bytes], Measurement], value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        return decode(value).fields()
    except DecodeError:
        return {}
