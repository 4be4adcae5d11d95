"""What scales say about a weighing: whether it has a result, and when it is over."""

from typing import Annotated

from healthd.profiles.common.personal import PersonalResult
from healthd.profiles.packet.layout import Fact
from healthd.profiles.results.kind import QUIET_S, Phase, are_within
from healthd.samples import quantity

# Between two packets of one weighing, by the scale's clock. No one is weighed twice in that time.
_SAME_S = 3.0

# The same for a scale that says when a weighing is over: a person may stand on it for a while.
_SAME_FLAGGED_S = 60.0

IMPEDANCE_S = 20.0
"""How long a weight waits for the impedance; Xiaomi's scales need up to 10 s."""


class Weighing(PersonalResult):
    """A packet of a scale; scales without flags send results only."""

    user_id: Annotated[int | None, quantity("1")] = None
    """``null`` means an unknown user."""
    stabilized: bool = False
    """The weight no longer changes; only from scales that say so."""
    load_removed: bool = False
    """Xiaomi only: the user has stepped off the scale."""


def xiaomi_flags(stabilized: int, load_removed: int) -> tuple[Fact, Fact]:
    """Return the facts in Xiaomi's flags, given the numbers of their bits."""
    return (
        Fact("stabilized", lambda flags: bool(flags >> stabilized & 1)),
        Fact("load_removed", lambda flags: bool(flags >> load_removed & 1)),
    )


def phase_of(packet: Weighing, measured: tuple[float | None, ...]) -> Phase:
    """Return the phase of a weighing.

    Args:
        packet: a packet of a scale.
        measured: its measured values. Scales send zeros, or nothing, if they could not measure.
    """
    if _has_flags(packet) and not packet.stabilized:
        return Phase.WITHOUT_RESULT if packet.load_removed else Phase.MEASURING
    return Phase.FINISHED if any(measured) else Phase.WITHOUT_RESULT


def is_over(result: Weighing) -> bool:
    """Return whether the user has left the scale: it may show this result again, much later."""
    return result.load_removed


def are_one(first: Weighing, second: Weighing) -> bool:
    """Return whether two results that arrive one after the other are of the same weighing."""
    return are_within(first, second, min(same_s(first), same_s(second)))


def same_s(result: Weighing) -> float:
    """Return how far apart two packets of one weighing can be, by the scale's clock."""
    return _SAME_FLAGGED_S if _has_flags(result) else _SAME_S


def wait_s(_result: Weighing) -> float:
    """Return how long a weight waits for a better one of the same weighing."""
    return QUIET_S


def wait_for_impedance_s(result: Weighing, impedance_ohm: float | None) -> float:
    """Return how long a body composition waits for a better one of the same weighing."""
    is_expected = _has_flags(result) and not result.load_removed and impedance_ohm is None
    return IMPEDANCE_S if is_expected else QUIET_S


def _has_flags(packet: Weighing) -> bool:
    return "stabilized" in packet.model_fields_set
