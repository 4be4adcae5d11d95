"""Which dialect a machine is controlled with: the first one here whose control point it has."""

from collections.abc import Callable, Mapping
from functools import partial

from healthd.central.link import Link
from healthd.profiles.fitness_machine.dialect import Dialect, FitnessMachine
from healthd.profiles.fitness_machine.machine import Machine, machine_of
from healthd.profiles.quirks import decoders_for, identity_of, writers_for
from healthd.profiles.vendor import kickr
from healthd.profiles.vendor.fec.dialect import FecTrainer
from healthd.profiles.vendor.kickr import Kickr
from healthd.sessions.control_point import ControlPoints


def machine_on(link: Link, facts: Mapping[str, bytes], speed_factor: float) -> Machine:
    """Return what a machine of the Fitness Machine Service says about itself.

    Args:
        link: the link to it.
        facts: the static values that were read on this link, by UUID.
        speed_factor: by what its speeds are multiplied.
    """
    device = identity_of(link.found.name, facts)
    decoders, writers = decoders_for(device), writers_for(device)
    return machine_of(link.characteristics, facts, decoders, writers, speed_factor)


def dialect_on(points: ControlPoints, machine: Machine) -> Dialect | None:
    """Return how to control what is linked; None if it cannot be controlled.

    Newer trainers of makers that have a dialect of their own have the standard's, too. That has
    ranges and answers every request.

    Args:
        points: its control points.
        machine: what it says about itself.
    """
    dialects: tuple[tuple[str, Callable[[], Dialect]], ...] = (
        (FitnessMachine.control, partial(FitnessMachine, machine)),
        (FecTrainer.control, FecTrainer),
        (kickr.CONTROL, Kickr),
    )
    return next((make() for control, make in dialects if points.has(control)), None)
