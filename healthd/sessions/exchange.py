"""Requests to a fitness machine's control point, and its answers as words."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.fitness_machine.procedures import answers, result
from healthd.sessions.control_point import ControlPoint, Silent
from healthd.verbs import uptime_s

Check = Callable[[], None]
"""Called before a request is written; raises Rejected if it must not be written any more."""

SUCCESS, NOT_SUPPORTED = "success", "opcode_not_supported"
INVALID, NOT_PERMITTED = "invalid_parameter", "control_not_permitted"
"""Results of `procedures.result`."""

# Machines answer within a second, and some count down from three before they start. The services
# allow 30 s; the lease, or a request to stop, can end the wait earlier.
ANSWER_S = 10.0

STEP_S = 2.0
"""How long one try of a stop or a release waits for its answer."""

_TRIES = 3

# Between two tries; three fit into the shortest time that a step gets, 0.8 s. The machine may still
# be busy with an earlier request (ATT error 0xFE).
_PAUSE_S = 0.3


def unchecked() -> None:
    """Let the request be written, whatever happened meanwhile."""


class Exchange:
    """The exchange with one machine; used by a single task, so procedures do not overlap."""

    def __init__(self, point: ControlPoint) -> None:
        """Use the control point of the machine."""
        self._point = point

    def turn(self, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """Reserve the control point, as `ControlPoint.turn`."""
        return self._point.turn(timeout_s)

    async def ask(self, request: bytes, timeout_s: float, check: Check = unchecked) -> str:
        """Ask the machine and return its result as a word.

        Raises:
            Rejected: ``check`` has refused the request; nothing was written.
            Silent: the machine did not answer in time.
            LinkFault: the machine could not be asked.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._point.subscribe()
                check()  # Nothing may come between this and the write.
                return result(await self._point.ask(request, partial(answers, request), timeout_s))
        except TimeoutError as error:
            raise Silent from error

    async def insist(self, step: bytes, within_s: float) -> tuple[str, str]:
        """Ask for a step of a stop or release, up to three times.

        Args:
            step: what to write.
            within_s: for everything together, in seconds.

        Returns:
            What went wrong, empty for nothing; and that in a word.

        Raises:
            LinkLost: the link has ended.
        """
        error, word = f"{step.hex()}: no answer", "silent"
        end_s, tries = uptime_s() + within_s, _TRIES
        while (left_s := end_s - uptime_s()) > 0:
            try:
                word = await self.ask(step, min(STEP_S, left_s))
            except LinkLost:
                raise
            except LinkFault as fault:
                # The machine has not taken the step, so this is no try.
                error, word = f"{step.hex()}: {fault}", fault.reason
            except Silent:
                error, word, tries = f"{step.hex()}: no answer", "silent", tries - 1
            else:
                error, tries = "" if word == SUCCESS else f"{step.hex()}: {word}", tries - 1
                if word in (SUCCESS, NOT_PERMITTED, NOT_SUPPORTED):
                    break
            if not tries:
                break
            await asyncio.sleep(max(0.0, min(_PAUSE_S, end_s - uptime_s())))
        return error, word
