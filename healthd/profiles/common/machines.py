"""What has to be known about machines that can be controlled, before one is linked.

Their profiles need 1.5 MB of memory, and only gateways with such a machine load them.
"""

from dataclasses import dataclass

CONTROL_POINT, STATUS, TREADMILL_DATA = "2ad9", "2ada", "2acd"
"""UUIDs of the Fitness Machine Service."""

FEC_DATA = "6e40fec2-b5a3-f393-e0a9-e50e24dcca9e"
FEC_CONTROL = "6e40fec3-b5a3-f393-e0a9-e50e24dcca9e"
"""UUIDs of trainers that speak FE-C, see ``vendor.fec``."""

KICKR_CONTROL = "a026e005-0a7d-4ab3-97fa-f1500f9feb8b"
"""UUID of the control point of a KICKR, see ``vendor.kickr``."""


class Rejected(ValueError):
    """A request that is not carried out; the text says what was found and what is expected.

    Attributes:
        reason: the reason in a word, for logs and events.
    """

    def __init__(self, reason: str, text: str) -> None:
        """Keep the reason in addition to the text."""
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Range:
    """A range of allowed values.

    Attributes:
        low: lowest allowed value.
        high: highest allowed value.
        grain: resolution of the number in the request: a value within half of it from a limit is
            written as that limit. Both 5.5556 m/s and 5.556 m/s are written as 20 km/h.
        increment: the machine's step; 0 if it reports none.
    """

    low: float
    high: float
    grain: float = 0.0
    increment: float = 0.0

    def allows(self, value: float) -> bool:
        """Return whether the value is within the range; NaN never is."""
        slack = self.grain / 2
        nearly = bool(slack) and self.low - slack < value < self.high + slack
        return nearly or self.low <= value <= self.high

    def __str__(self) -> str:
        """Return the range as text for people."""
        steps = f" in steps of {round(self.increment, 3):.10g}" if self.increment else ""
        return f"{round(self.low, 3):.10g} to {round(self.high, 3):.10g}{steps}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in the settings, by the keys of the requests; None if not set."""

    power_w: Range | None = None
    resistance_level: Range | None = None
    speed_mps: Range | None = None
    inclination_pct: Range | None = None
    grade_pct: Range | None = None


@dataclass(slots=True)
class Learned:
    """What a machine's answers have shown; kept from link to link.

    Attributes:
        narrow: whether it takes a resistance in one byte; None until it has accepted one.
        unreleased: whether its link ended while healthd held it, so it may keep its target.
        answers: whether it answers requests, if not all machines of its kind do; None until the
            first one.
    """

    narrow: bool | None = None
    unreleased: bool = False
    answers: bool | None = None
