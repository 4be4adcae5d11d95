"""Which dialect a machine is controlled with: the first one here whose control point it has.

What machines need is imported here, once one is linked: it takes 1.5 MB of memory.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from healthd.central.link import Link
from healthd.profiles.common.machines import CONTROL_POINT, FEC_CONTROL, KICKR_CONTROL
from healthd.profiles.quirks import decoders_for, identity_of, writers_for
from healthd.sessions.control_point import ControlPoints

if TYPE_CHECKING:
    from healthd.profiles.fitness_machine.dialect import Dialect
    from healthd.profiles.fitness_machine.machine import Machine


def machine_on(link: Link, facts: Mapping[str, bytes], speed_factor: float) -> "Machine":
    """Return what a machine of the Fitness Machine Service says about itself.

    Args:
        link: the link to it.
        facts: the static values that were read on this link, by UUID.
        speed_factor: by what its speeds are multiplied.
    """
    from healthd.profiles.fitness_machine.machine import machine_of

    device = identity_of(link.found.name, facts)
    decoders, writers = decoders_for(device), writers_for(device)
    return machine_of(link.characteristics, facts, decoders, writers, speed_factor)


def dialect_on(
    points: ControlPoints, facts: Mapping[str, bytes], speed_factor: float
) -> "Dialect | None":
    """Return how to control what is linked; None if it cannot be controlled.

    Newer trainers of makers that have a dialect of their own have the standard's, too. That has
    ranges and answers every request.

    Args:
        points: its control points.
        facts: see ``machine_on``.
        speed_factor: the same.
    """

    def fitness_machine() -> "Dialect":
        from healthd.profiles.fitness_machine.dialect import FitnessMachine

        return FitnessMachine(machine_on(points.link, facts, speed_factor))

    def fec() -> "Dialect":
        from healthd.profiles.vendor.fec.dialect import FecTrainer

        return FecTrainer()

    def kickr() -> "Dialect":
        from healthd.profiles.vendor.kickr import Kickr

        return Kickr()

    dialects: tuple[tuple[str, Callable[[], Dialect]], ...] = (
        (CONTROL_POINT, fitness_machine),
        (FEC_CONTROL, fec),
        (KICKR_CONTROL, kickr),
    )
    return next((make() for control, make in dialects if points.has(control)), None)
