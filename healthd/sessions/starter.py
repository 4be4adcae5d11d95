"""Starts a fitness machine that waits for it, if the settings say so: ``start = true``."""

from contextlib import suppress
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.log import get_logger
from healthd.profiles.fitness_machine.commands import REQUEST_CONTROL, START_OR_RESUME
from healthd.profiles.fitness_machine.machine import Machine
from healthd.profiles.fitness_machine.procedures import CONTROL_POINT, answers, result
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.outcomes import Outcomes

REASON = "settings"
"""The reason of the events: no request has asked for it."""

# Machines answer a request for control at once. Some never do, and start nevertheless.
_CONTROL_S = 3.0

# Some count down from three before they start.
_START_S = 5.0


async def start(
    points: ControlPoints, machine: Machine, outcomes: Outcomes, peripheral: str
) -> None:
    """Ask the machine for control and then to start, once. Nothing is ever reset or stopped for it.

    A treadmill is not started: its belt would move at each new link, with or without a person.

    Args:
        points: the control points of the link.
        machine: what is known about the machine.
        outcomes: reports the result.
        peripheral: its id.
    """
    log = get_logger(peripheral=peripheral)
    if not points.link.can_write(CONTROL_POINT):
        log.warning("not started", reason="not_supported", error="it has no control point")
        return
    if machine.is_treadmill:
        error = "start = true never moves a belt; send a request to start it"
        log.warning("not started", reason="not_allowed", error=error)
        outcomes.report("refused", "start", reason="not_allowed", detail=error)
        return
    try:
        word = await _start(points)
    except LinkLost:
        return  # The session learns from the link itself why it ended.
    except LinkFault as fault:
        reason, error = fault.reason, str(fault)
    except Busy:
        reason, error = "busy", "the control point was in use"
    except Silent:
        reason, error = "silent", f"the machine did not answer within {_START_S:.0f} s"
    else:
        if word == "success":
            outcomes.report("started", "start", reason=REASON)
            return
        reason, error = word, f"the machine answered {word}"
    log.warning("not started", reason=reason, error=error)
    outcomes.report("refused", "start", reason=reason, detail=error)


async def _start(points: ControlPoints) -> str:
    """Write both requests; return the machine's answer to the second one."""
    point = points.of(CONTROL_POINT)
    async with point.turn(_START_S):
        with suppress(Silent):
            # Refused or not: there are machines that start nevertheless.
            await point.ask(REQUEST_CONTROL, partial(answers, REQUEST_CONTROL), _CONTROL_S)
        fits = partial(answers, START_OR_RESUME)
        return result(await point.ask(START_OR_RESUME, fits, _START_S))
