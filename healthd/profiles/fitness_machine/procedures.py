"""Checks and encodes requests for one fitness machine, and interprets its answers.

Requests are those of ``healthd.verbs``. A value has to be within the machine's own range *and* the
limits of the settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.fitness_machine import commands
from healthd.profiles.fitness_machine.control_point import decode_control_point
from healthd.profiles.fitness_machine.machine import (
    BIKE_DATA,
    INCLINATIONS,
    POWERS,
    RESISTANCES,
    SPEEDS,
    Machine,
    Range,
)
from healthd.verbs import (
    OfPeripheral,
    SetSimulation,
    SetTargetInclination,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Start,
    Stop,
)

CONTROL_POINT, STATUS = "2ad9", "2ada"

_RESPONSE = 0x80
_CONTROL_LOST = 0xFF


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
class Limits:
    """The limits in the settings, by the keys of the requests; None if not set."""

    power_w: Range | None = None
    resistance_level: Range | None = None
    speed_mps: Range | None = None
    inclination_pct: Range | None = None
    grade_pct: Range | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What is written to the control point for a request.

    Attributes:
        request: the bytes.
        change: what the control event reports once the machine has carried it out.
        targets: the values to reach, by keys with units.
        narrow: of a resistance, whether ``request`` has it in one byte.
        other: the same resistance in the other width; empty if it does not fit, or for others.
    """

    request: bytes
    change: Literal["set", "started", "stopped"]
    targets: Mapping[str, float] = field(default_factory=dict[str, float])
    narrow: bool | None = None
    other: bytes = b""


class _Target(NamedTuple):
    """A request of one number: its key, and the machine's feature and range for it."""

    key: str
    feature: str
    range: str
    write: Callable[..., bytes]
    needs_limits: bool = False


_TARGETS: Mapping[type[OfPeripheral], _Target] = {
    SetTargetPower: _Target("power_w", "power", POWERS, commands.set_target_power),
    SetTargetResistance: _Target(
        "resistance_level", "resistance", RESISTANCES, commands.set_target_resistance
    ),
    SetTargetSpeed: _Target(
        "speed_mps", "speed", SPEEDS, commands.set_target_speed, needs_limits=True
    ),
    SetTargetInclination: _Target(
        "inclination_pct",
        "inclination",
        INCLINATIONS,
        commands.set_target_inclination,
        needs_limits=True,
    ),
}


def command(request: OfPeripheral, machine: Machine, limits: Limits) -> Command:
    """Return what to write to this machine for a request.

    Args:
        request: a target, a simulation, start or stop.
        machine: what is known about the machine.
        limits: what the settings allow.

    Raises:
        Rejected: the machine cannot do it, or the settings do not allow it.
    """
    if isinstance(request, Start):
        if machine.is_treadmill and limits.speed_mps is None:
            raise _unlimited("speed_mps")
        return Command(commands.START_OR_RESUME, "started")
    if isinstance(request, Stop):
        return Command(commands.STOP, "stopped")
    if isinstance(request, SetSimulation):
        return _simulation(request, machine, limits)
    target = _TARGETS[type(request)]
    key, value = target.key, getattr(request, target.key)
    if machine.lacks(target.feature, target.range):
        raise Rejected("not_supported", f"the machine says that it has no target {target.feature}")
    allowed: Range | None = getattr(limits, key)
    if target.needs_limits and allowed is None:
        raise _unlimited(key)
    _check(key, value, allowed, machine.ranges.get(key))
    if target.range == RESISTANCES:
        return _resistance(value, narrow=machine.narrow)
    return _written(machine.writers.get(key, target.write), {key: value})


def release(machine: Machine, *, simulated: bool, stopped: bool) -> tuple[bytes, ...]:
    """Return the requests that release control of the machine and leave it safe, in order.

    A belt is stopped. A bike gets a flat road, because not all bikes forget their target at the
    reset that releases control.

    Args:
        machine: what is known about the machine.
        simulated: whether it has simulated a road on this link.
        stopped: whether it has just carried out a request to stop; some machines refuse a second.
    """
    if machine.is_treadmill:
        return (commands.RESET,) if stopped else (commands.STOP, commands.RESET)
    if simulated or (machine.simulates and BIKE_DATA in machine.characteristics):
        return commands.set_simulation(grade_pct=0.0), commands.RESET
    return (commands.RESET,)


def answers(request: bytes, message: bytes) -> bool:
    """Return whether this message of the control point answers this request."""
    return message[:2] == bytes([_RESPONSE, request[0]])


def result(answer: bytes) -> str:
    """Return a procedure's result in a word: ``success``, ``invalid_parameter`` or ``result_7``."""
    try:
        found = decode_control_point(answer).result
    except DecodeError:
        return "not_understood"
    return found if isinstance(found, str) else f"result_{found}"


def loses_control(status: bytes) -> bool:
    """Return whether this status (0x2ADA) says that control is lost."""
    return status[:1] == bytes([_CONTROL_LOST])


def _simulation(request: SetSimulation, machine: Machine, limits: Limits) -> Command:
    if machine.lacks("indoor_bike_simulation", BIKE_DATA):
        raise Rejected("not_supported", "the machine says that it simulates no road")
    _check("grade_pct", request.grade_pct, limits.grade_pct, None)
    road = request.model_dump(include={"grade_pct", "wind_speed_mps", "crr", "cw_kg_per_m"})
    return _written(commands.set_simulation, road)


def _resistance(level: float, *, narrow: bool) -> Command:
    write = commands.set_target_resistance
    made = _written(partial(write, narrow=narrow), {"resistance_level": level})
    try:
        other = write(resistance_level=level, narrow=not narrow)
    except ValueError:
        other = b""
    return replace(made, narrow=narrow, other=other)


def _written(write: Callable[..., bytes], targets: Mapping[str, float]) -> Command:
    try:
        return Command(write(**targets), "set", targets)
    except ValueError as error:
        raise Rejected("out_of_range", str(error)) from error


def _unlimited(key: str) -> Rejected:
    text = f"a treadmill needs limits of its own: the settings have no control.{key} for it"
    return Rejected("not_allowed", text)


def _check(key: str, value: float, allowed: Range | None, possible: Range | None) -> None:
    """Refuse a value outside the settings' limits or the machine's range."""
    known = [limits for limits in (allowed, possible) if limits is not None]
    if not known:
        text = f"the machine does not say its range of {key}: set control.{key} in the settings"
        raise Rejected("not_allowed", text)
    if all(limits.allows(value) for limits in known):
        return
    sources = (("the settings allow", allowed), ("the machine says", possible))
    origins = ", ".join(f"{text} {limits}" for text, limits in sources if limits is not None)
    narrow = Range(max(limits.low for limits in known), min(limits.high for limits in known))
    expected = str(narrow) if narrow.low <= narrow.high else "nothing"
    raise Rejected("out_of_range", f"{key} is {value:.10g}, expected {expected}: {origins}")
