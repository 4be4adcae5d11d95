"""Checks and encodes requests for one fitness machine, and interprets its answers.

Requests are those of ``healthd.verbs``. A value has to be within the machine's own range *and* the
limits of the settings, and so has what it results in: a road's resistance, the speed of a belt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Literal, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.common.machines import Limits, Range, Rejected
from healthd.profiles.fitness_machine import commands
from healthd.profiles.fitness_machine.control_point import decode_control_point
from healthd.profiles.fitness_machine.limits import check, checked, nearest, within
from healthd.profiles.fitness_machine.machine import (
    BIKE_DATA,
    INCLINATIONS,
    POWERS,
    RESISTANCES,
    SPEEDS,
    Machine,
)
from healthd.profiles.fitness_machine.road import CLIMBING_MPS, Road
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

# The speed to which a belt is set when it starts, if that is allowed: 0.8 km/h, a slow step. It is
# the lowest speed of most treadmills.
_SLOW_MPS = 0.8 / 3.6

# A simulated grade is written in steps of 0.01 %.
_GRADE_STEP = Fraction(1, 100)

_RESPONSE = 0x80
_CONTROL_LOST = 0xFF


@dataclass(frozen=True, slots=True)
class Command:
    """What is written to the control point for a request.

    Attributes:
        request: the bytes.
        change: what the control event reports once the machine has carried it out.
        targets: the values to reach, by keys with units.
        narrow: of a resistance, whether ``request`` has it in one byte.
        other: the same resistance in the other width; empty if it does not fit, or for others.
        then: what is written once the machine has carried ``request`` out; empty for nothing.
    """

    request: bytes
    change: Literal["set", "started", "stopped"]
    targets: Mapping[str, float] = field(default_factory=dict[str, float])
    narrow: bool | None = None
    other: bytes = b""
    then: bytes = b""


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
        if not machine.has_session:
            raise Rejected("not_supported", "a trainer of this kind has no session to start")
        return _start(machine, limits)
    if isinstance(request, Stop):
        return Command(commands.STOP, "stopped")
    if isinstance(request, SetSimulation):
        return _simulation(request, machine, limits)
    target = _TARGETS[type(request)]
    key, value = target.key, getattr(request, target.key)
    if machine.lacks(target.feature, target.range):
        raise Rejected("not_supported", f"the machine says that it has no target {target.feature}")
    _check_effects(key, machine, limits)
    if target.needs_limits and getattr(limits, key) is None:
        raise _unlimited(key)
    written = checked(key, value, limits, machine)
    targets = {key: value if abs(written - value) <= machine.step(key) / 2 else written}
    if target.range == RESISTANCES and key not in machine.writers:
        return replace(_resistance(written, narrow=machine.narrow), targets=targets)
    write = machine.writers.get(key, target.write)
    return replace(_written(write, {key: written}), targets=targets)


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


def _start(machine: Machine, limits: Limits) -> Command:
    """Return the start of a machine; a belt that has a target speed is then slowed down.

    It would start at a speed of its own choice, or at a target from earlier.
    """
    if not machine.is_treadmill:
        return Command(commands.START_OR_RESUME, "started")
    if limits.speed_mps is None:
        raise _unlimited("speed_mps")
    if machine.lacks("speed", SPEEDS):
        return Command(commands.START_OR_RESUME, "started")
    slow = nearest("speed_mps", _SLOW_MPS, limits, machine)
    write = machine.writers.get("speed_mps", commands.set_target_speed)
    then = _written(write, {"speed_mps": slow}).request
    return Command(commands.START_OR_RESUME, "started", then=then)


def _check_effects(key: str, machine: Machine, limits: Limits) -> None:
    """Refuse a target that has an effect which the settings limit, in a way that is not known."""
    if key == "power_w" and machine.is_treadmill:
        text = "a treadmill reaches a power by moving its belt: set its speed and inclination"
        raise Rejected("not_supported", text)
    if key != "resistance_level" or limits.resistance_level is not None:
        return
    if machine.is_treadmill:
        raise _unlimited(key)
    if limits.power_w is not None:
        text = "the settings limit power_w, and the power that a resistance takes is not known"
        raise Rejected("not_allowed", f"{text}: set control.{key}, too")


def _simulation(request: SetSimulation, machine: Machine, limits: Limits) -> Command:
    if machine.lacks("indoor_bike_simulation", BIKE_DATA):
        raise Rejected("not_supported", "the machine says that it simulates no road")
    if machine.is_treadmill:
        raise Rejected("not_supported", "a treadmill simulates no road: set its inclination")
    check("grade_pct", request.grade_pct, limits.grade_pct, None)
    assert limits.grade_pct is not None, "check() refuses a grade without limits"
    road = request.model_dump(include={"grade_pct", "wind_speed_mps", "crr", "cw_kg_per_m"})
    grade = within(request.grade_pct, limits.grade_pct, _GRADE_STEP)
    made = _written(machine.road.write, road | {"grade_pct": grade})
    # As the machine reads it: wind and coefficients are rounded, too.
    _check_road(Road(**machine.road.read(made.request)), limits.grade_pct, limits.power_w)
    return replace(made, targets=road)


def _check_road(road: Road, grades: Range, powers: Range | None) -> None:
    """Refuse a road whose resistance is beyond the limits, whatever it consists of."""
    low, high = (round(grade, 6) for grade in road.equivalent_grades_pct())
    if low < grades.low or high > grades.high:
        found = low if low < grades.low else high
        text = f"with its wind and its coefficients the road is like a grade of {found:.4g} %"
        allowed = f"expected {grades}: the settings allow {grades} for grade_pct"
        raise Rejected("out_of_range", f"{text}, {allowed}")
    power = round(road.power_w(), 6)
    if powers is not None and power > powers.high:
        text = f"the road takes {power:.4g} W at {CLIMBING_MPS:g} m/s, expected at most"
        allowed = f"{powers.high:.10g}: the settings allow {powers} for power_w"
        raise Rejected("out_of_range", f"{text} {allowed}")


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
