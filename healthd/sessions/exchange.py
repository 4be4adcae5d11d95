"""Requests to a machine's control point, and its answers as words."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.common.machines import Learned
from healthd.sessions.control_point import Busy, ControlPoint, Silent
from healthd.verbs import uptime_s

if TYPE_CHECKING:
    from healthd.profiles.fitness_machine.dialect import Dialect

Check = Callable[[], None]
"""Called before a request is written; raises Rejected if it must not be written any more."""

SUCCESS, NOT_SUPPORTED = "success", "opcode_not_supported"
INVALID, NOT_PERMITTED = "invalid_parameter", "control_not_permitted"
"""Results of `Dialect.result`."""

# Machines answer within a second, and some count down from three before they start. The services
# allow 30 s; the lease, or a request to stop, can end the wait earlier.
ANSWER_S = 10.0

STEP_S = 2.0
"""How long one try of a stop or a release waits for its answer."""

_TRIES = 3

# Between two tries; three fit into the shortest time that a step gets, 0.8 s. The machine may still
# be busy with an earlier request (ATT error 0xFE).
_PAUSE_S = 0.3


# A machine that need not answer does so within this time, if at all: trainers of FE-C send four
# pages a second, and the one that was asked for comes next.
_PATIENCE_S = 1.5

# More than a machine sends before the request is read that waits for it: a page at a time.
_MOST_UNREAD = 16


def unchecked() -> None:
    """Let the request be written, whatever happened meanwhile."""


class Exchange:
    """The exchange with one machine; used by a single task, so procedures do not overlap."""

    def __init__(self, point: ControlPoint, dialect: "Dialect", learned: Learned) -> None:
        """Prepare.

        Args:
            point: the control point of the machine.
            dialect: how it is controlled.
            learned: what the machine has shown; updated.
        """
        self._point = point
        self._dialect = dialect
        self._learned = learned
        self._heard = deque[bytes](maxlen=_MOST_UNREAD)
        self._arrived = asyncio.Event()

    def turn(self, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """Reserve the control point, as `ControlPoint.turn`."""
        return self._point.turn(timeout_s)

    def hear(self, value: bytes) -> None:
        """Handle a value of the stream that carries the answers."""
        self._dialect.hear(value)
        self._heard.append(value)
        self._arrived.set()

    @property
    def greets(self) -> bool:
        """Whether there is something to write before all requests."""
        return bool(self._dialect.greeting)

    async def greet(self) -> None:
        """Ask the machine what it can do, which it says in the stream that carries its answers."""
        with suppress(Busy, LinkFault, TimeoutError):
            async with self.turn(STEP_S), asyncio.timeout(STEP_S):
                await self._point.write(self._dialect.greeting)

    async def ask(self, request: bytes, timeout_s: float, check: Check = unchecked) -> str:
        """Ask the machine and return its result as a word.

        The result of a machine that need not answer, and does not, is success.

        Raises:
            Rejected: ``check`` has refused the request; nothing was written.
            Silent: the machine did not answer in time.
            LinkFault: the machine could not be asked.
        """
        try:
            async with asyncio.timeout(timeout_s):
                if not self._dialect.answers_on:
                    await self._point.subscribe()
                self._heard.clear()
                self._dialect.begin(request)
                check()  # Nothing may come between this and the write.
                await self._point.write(request)
                return await self._result(request)
        except TimeoutError as error:
            raise Silent from error

    async def _result(self, request: bytes) -> str:
        dialect, learned = self._dialect, self._learned
        if dialect.always_answers:
            return dialect.result(request, await self._answer(request))
        if learned.answers is False:
            return SUCCESS
        if dialect.inquiry:
            await self._point.write(dialect.inquiry)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                answer = await self._answer(request)
        except TimeoutError:
            # One that has answered before may do so again.
            learned.answers = bool(learned.answers)
            return SUCCESS
        learned.answers = True
        return dialect.result(request, answer)

    async def _answer(self, request: bytes) -> bytes:
        """Wait for the answer to a request that was written, without a limit."""

        def fits(message: bytes) -> bool:
            return self._dialect.answers(request, message)

        if not self._dialect.answers_on:
            return await self._point.answer(fits)
        while True:
            while self._heard:
                if fits(message := self._heard.popleft()):
                    return message
            self._arrived.clear()
            await self._arrived.wait()

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
