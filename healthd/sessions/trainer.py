"""Control of a fitness machine, on one link: taken by a request, renewed by more, given back."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.fitness_machine.commands import REQUEST_CONTROL
from healthd.profiles.fitness_machine.machine import Machine
from healthd.profiles.fitness_machine.procedures import (
    CONTROL_POINT,
    Command,
    Limits,
    Rejected,
    answers,
    command,
    release,
    result,
)
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.faults import ControlFailed
from healthd.sessions.outcomes import Outcomes
from healthd.verbs import OfPeripheral, SetSimulation, Stop

TURN_S = 10.0
"""How long a request waits for those before it: as long as one may take that nobody answers."""

# Machines answer within a second, and some count down from three before they start. The services
# allow 30 s, but a machine is held no longer than its lease while it does not answer.
ANSWER_S = 10.0

# To release a machine is urgent, and was tried thrice before its link is ended instead.
_STEP_S = 2.0
_TRIES = 3

# It may still be at what it was asked before (ATT error 0xFE).
_PAUSE_S = 0.5

# Before healthd hangs up: systemd gives the whole stop 20 s.
_FAREWELL_S = 3.0

# Of `procedures.result`.
_SUCCESS, _NOT_SUPPORTED = "success", "opcode_not_supported"
_NOT_PERMITTED = "control_not_permitted"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of controlling a peripheral.

    Attributes:
        limits: of what it can be told.
        lease_s: how long it is held without another request.
    """

    limits: Limits = field(default_factory=Limits)
    lease_s: float = 30.0


class Trainer:
    """Whoever uses it does so from one task: procedures follow each other."""

    def __init__(
        self, points: ControlPoints, machine: Machine, rules: Rules, outcomes: Outcomes
    ) -> None:
        """Prepare; nobody has control yet.

        Args:
            points: the control points of the machine's link.
            machine: what is known of it.
            rules: what the settings say.
            outcomes: tells of everything.
        """
        self._link = points.link
        self._point = points.of(CONTROL_POINT)
        self._machine = machine
        self._rules = rules
        self._tell = outcomes.tell
        # Control may be ours from when it is asked for, and is ours once that was answered.
        self._claimed = self._granted = self._releasing = False
        self._simulated = self._stopped = False
        self._until = 0.0

    @property
    def left_s(self) -> float | None:
        """How much longer it is held without another request; None: it is not held."""
        return self._until - time.monotonic() if self._granted else None

    async def obey(self, request: OfPeripheral) -> Mapping[str, float]:
        """Have the machine do it, and hold it for another lease; the targets that it was given.

        Raises:
            Rejected: it is not allowed, or the machine did not do it.
            Silent: it did not answer.
            LinkFault: it could not be asked.
        """
        made = command(request, self._machine, self._rules.limits)
        try:
            await self._procedure(made, request.verb)
        except (Rejected, LinkFault):
            # Who asks it to stop wants to be rid of it, also where it does not.
            if isinstance(request, Stop):
                await self.release("stop")
            raise
        self._renew()
        self._simulated |= isinstance(request, SetSimulation)
        self._stopped = isinstance(request, Stop)
        self._tell(made.change, request.verb, targets=made.targets)
        if self._stopped:
            await self.release("stop")
        return made.targets

    def taken_away(self) -> None:
        """The machine says that control is lost; as some do where it is given back."""
        if not self._releasing:
            self._lose("permission_lost")

    async def release(self, reason: str) -> None:
        """Give the machine back: a bike rides free, a belt stands.

        Where it does not take control back its link is ended, for no control outlives that.
        """
        if not self._claimed:
            return
        failed: list[str] = []
        self._releasing = True
        try:
            async with self._point.turn(_STEP_S):
                for step in release(
                    self._machine, simulated=self._simulated, stopped=self._stopped
                ):
                    failed.append(await self._insist(step))
        except Busy:
            failed.append("its control point is in use")
        except LinkLost as fault:
            self._lose(fault.reason)
        finally:
            self._releasing = False
        if self._claimed:
            self._released(reason, failed)

    async def release_before_hangup(self) -> None:
        """Give it back before healthd hangs up, as far as there is time for it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self.release("hang_up")
        if self._claimed:
            self._released("hang_up", [f"no time within {_FAREWELL_S:.0f} s"])

    def _lose(self, reason: str) -> None:
        """Nothing is held any more: somebody else has control, or nobody."""
        if self._granted:
            self._tell("lost", reason=reason)
        self._claimed = self._granted = False

    def _released(self, reason: str, failed: list[str]) -> None:
        self._claimed = self._granted = False
        detail = "; ".join(one for one in failed if one) or None
        # A bike without a flat road is free all the same; a belt that did not stop may run.
        harmless = not failed[-1] and (detail is None or not self._machine.is_treadmill)
        self._tell("released" if harmless else "release_failed", reason=reason, detail=detail)
        if failed[-1]:
            self._link.give_up(ControlFailed(f"it does not give control back: {detail}"))

    async def _procedure(self, made: Command, verb: str) -> None:
        try:
            async with self._point.turn(TURN_S):
                await self._request_control(verb)
                word = await self._ask(made.request)
        except Busy as error:
            text = f"its control point was in use for {TURN_S:.0f} s"
            raise Rejected("busy", text) from error
        if word == _SUCCESS:
            return
        if word == _NOT_PERMITTED:
            self._lose(word)
        ranges = [self._machine.ranges[key] for key in made.targets if key in self._machine.ranges]
        said = f", and says that it takes {ranges[0]}" if ranges else ""
        raise Rejected(word, f"the machine answered {word} to {verb}{said}")

    async def _request_control(self, verb: str) -> None:
        if self._granted:
            return
        self._claimed = True
        try:
            word = await self._ask(REQUEST_CONTROL)
        except LinkFault:
            self._claimed = False
            raise
        if word != _SUCCESS:
            self._claimed = False
            raise Rejected(word, f"the machine gives no control of itself: it answered {word}")
        self._granted, self._stopped = True, False
        self._renew()
        self._tell("granted", verb)

    def _renew(self) -> None:
        self._until = time.monotonic() + self._rules.lease_s

    async def _ask(self, request: bytes) -> str:
        """How the machine answers, in a word; as long as it is held."""
        left_s = self.left_s
        try:
            return await self._say(request, ANSWER_S if left_s is None else min(ANSWER_S, left_s))
        except Silent as error:
            if left_s is None or left_s > ANSWER_S:
                raise
            text = f"its lease of {self._rules.lease_s:g} s ran out before it answered"
            raise Rejected("lease", text) from error

    async def _say(self, request: bytes, patience_s: float) -> str:
        return result(await self._point.ask(request, partial(answers, request), patience_s))

    async def _insist(self, step: bytes) -> str:
        """Take a step of the release; empty where it was taken, else why it was not."""
        said = ""
        for again in range(_TRIES if self._claimed else 0):
            if again:
                await asyncio.sleep(_PAUSE_S)
            try:
                word = await self._say(step, _STEP_S)
            except LinkLost:
                raise
            except LinkFault as fault:
                said = f"{step.hex()}: {fault}"
            except Silent:
                said = f"{step.hex()}: no answer"
            else:
                said = "" if word == _SUCCESS else f"{step.hex()}: {word}"
                if word == _NOT_PERMITTED:
                    self._lose(word)
                if word in (_SUCCESS, _NOT_PERMITTED, _NOT_SUPPORTED):
                    break
        return said
