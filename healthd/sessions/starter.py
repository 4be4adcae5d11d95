"""Starts a fitness machine that waits for it, if the settings say so: ``start = true``."""

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from healthd.central.faults import LinkFault, LinkLost
from healthd.log import get_logger
from healthd.profiles.common.machines import CONTROL_POINT
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.outcomes import Outcomes

if TYPE_CHECKING:
    from healthd.profiles.fitness_machine.machine import Machine

REASON = "settings"
"""The reason of the events: no request has asked for it."""

# Machines answer a request for control at once. Some never do, and start nevertheless.
_CONTROL_S = 3.0

# Some count down from three before they start.
_START_S = 5.0


# How many links in a row may end while the machine is asked. Links end by chance, too.
_TOLERATED = 2

# A machine that hangs up because it was started does so within this time.
_AFTERMATH_S = 0.5

_PAUSE_S = 3600.0


class Starter:
    """Starts the machine of each link, unless that has ended its last links."""

    def __init__(self, peripheral: str, outcomes: Outcomes) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            outcomes: reports the results.
        """
        self._outcomes = outcomes
        self._address = ""
        self._losses = 0
        self._paused_until = 0.0
        self._answered_at: float | None = None
        self._log = get_logger(peripheral=peripheral)

    async def start(self, points: ControlPoints, machine: "Machine", address: str) -> None:
        """Ask the machine for control and then to start, once. It is never reset or stopped for it.

        A treadmill is not started: its belt would move at each new link, with or without a person.

        Args:
            points: the control points of the link.
            machine: what is known about the machine.
            address: its address.
        """
        if not points.link.can_write(CONTROL_POINT):
            error = "it has no control point"
            self._log.warning("not started", reason="not_supported", error=error)
            return
        if machine.is_treadmill:
            error = "start = true never moves a belt; send a request to start it"
            self._refuse("not_allowed", error)
            return
        if address != self._address:
            self._address, self._losses, self._paused_until = address, 0, 0.0
        if self._losses >= _TOLERATED and self._is_paused():
            return
        # Taken back once the link has survived it.
        self._losses += 1
        try:
            await self._ask(points)
        except LinkLost:
            return  # The session learns from the link itself why it ended.
        self._answered_at = time.monotonic()

    def end(self) -> None:
        """Note that the link has ended, or ends now."""
        answered_at, self._answered_at = self._answered_at, None
        if answered_at is not None and time.monotonic() - answered_at > _AFTERMATH_S:
            self._losses, self._paused_until = 0, 0.0

    def _is_paused(self) -> bool:
        now = time.monotonic()
        if self._paused_until == 0.0:
            self._paused_until = now + _PAUSE_S
            error = "the last links ended while it was asked to start; tried again in an hour"
            self._refuse("link_lost", error)
        elif now >= self._paused_until:
            self._paused_until = now + _PAUSE_S
            return False
        return True

    async def _ask(self, points: ControlPoints) -> None:
        try:
            word = await _start(points)
        except LinkLost:
            raise
        except LinkFault as fault:
            self._refuse(fault.reason, str(fault))
        except Busy:
            self._refuse("busy", "the control point was in use")
        except Silent:
            self._refuse("silent", f"the machine did not answer within {_START_S:.0f} s")
        else:
            if word == "success":
                self._outcomes.report("started", "start", reason=REASON)
            else:
                self._refuse(word, f"the machine answered {word}")

    def _refuse(self, reason: str, error: str) -> None:
        self._log.warning("not started", reason=reason, error=error)
        self._outcomes.report("refused", "start", reason=reason, detail=error)


async def _start(points: ControlPoints) -> str:
    """Write both requests; return the machine's answer to the second one."""
    # Loaded with the machine.
    from healthd.profiles.fitness_machine.commands import REQUEST_CONTROL, START_OR_RESUME
    from healthd.profiles.fitness_machine.procedures import answers, result

    point = points.of(CONTROL_POINT)
    async with point.turn(_START_S):
        with suppress(Silent):
            # Refused or not: there are machines that start nevertheless.
            await point.ask(REQUEST_CONTROL, partial(answers, REQUEST_CONTROL), _CONTROL_S)
        fits = partial(answers, START_OR_RESUME)
        return result(await point.ask(START_OR_RESUME, fits, _START_S))
