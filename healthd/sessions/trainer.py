"""Control of a fitness machine on one link: requested, renewed by further requests, released."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.fitness_machine.commands import REQUEST_CONTROL
from healthd.profiles.fitness_machine.machine import Learned, Machine
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
"""How long a request waits for earlier ones: as long as one of them may stay unanswered."""

# Machines answer within a second, and some count down from three before they start. The services
# allow 30 s; the lease can end the wait earlier.
ANSWER_S = 10.0

# Releasing a machine is urgent; after three tries its link is ended instead.
_STEP_S = 2.0
_TRIES = 3

# The machine may still be busy with an earlier request (ATT error 0xFE).
_PAUSE_S = 0.5

# Time limit for the release before healthd disconnects; systemd gives the whole stop 20 s.
_HANGUP_S = 3.0

# Results of `procedures.result`.
_SUCCESS, _NOT_SUPPORTED = "success", "opcode_not_supported"
_INVALID, _NOT_PERMITTED = "invalid_parameter", "control_not_permitted"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about controlling a peripheral.

    Attributes:
        limits: the allowed ranges of the targets.
        lease_s: how long the machine is held without another request.
        speed_factor: by what the machine's speeds are multiplied.
        start: whether a machine is started on each link.
    """

    limits: Limits = field(default_factory=Limits)
    lease_s: float = 30.0
    speed_factor: float = 1.0
    start: bool = False


class Trainer:
    """The control of one machine; used by a single task, so procedures do not overlap."""

    def __init__(
        self,
        points: ControlPoints,
        machine: Machine,
        learned: Learned,
        rules: Rules,
        outcomes: Outcomes,
    ) -> None:
        """Prepare; control is requested later.

        Args:
            points: the control points of the machine's link.
            machine: what it says about itself.
            learned: what it has shown on this link and earlier ones; updated.
            rules: what the settings say.
            outcomes: reports all results.
        """
        self._link = points.link
        self._point = points.of(CONTROL_POINT)
        self._machine = machine
        self._learned = learned
        self._rules = rules
        self._report = outcomes.report
        # `claimed`: control was requested and may be ours; `granted`: the machine has confirmed it.
        self._claimed = self._granted = self._releasing = False
        self._simulated = self._stopped = False
        self._until = 0.0

    @property
    def left_s(self) -> float | None:
        """How much longer the machine is held without another request; None if it is not held."""
        return self._until - time.monotonic() if self._granted else None

    async def execute(self, request: OfPeripheral) -> Mapping[str, float]:
        """Carry out a request, and renew the lease; return the targets that were set.

        Raises:
            Rejected: it is not allowed, or the machine refused.
            Silent: the machine did not answer.
            LinkFault: the machine could not be asked.
        """
        machine = self._learned.applied_to(self._machine)
        made = command(request, machine, self._rules.limits)
        try:
            await self._procedure(made, request.verb)
        except (Rejected, LinkFault):
            # A request to stop gives up control even if the machine does not stop.
            if isinstance(request, Stop):
                await self.release("stop")
            raise
        self._renew()
        self._simulated |= isinstance(request, SetSimulation)
        self._stopped = isinstance(request, Stop)
        self._report(made.change, request.verb, targets=made.targets)
        if self._stopped:
            await self.release("stop")
        return made.targets

    def on_control_lost(self) -> None:
        """Handle the machine's message that control is lost; some send it after a release, too."""
        if not self._releasing:
            self._lose_control("permission_lost")

    async def release(self, reason: str) -> None:
        """Release the machine: a bike has no load, a treadmill stands still.

        If the machine does not confirm, its link is ended, because control ends with the link.
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
                    failed.append(await self._try_step(step))
        except Busy:
            failed.append("the control point is in use")
        except LinkLost as fault:
            self._lose_control(fault.reason)
        finally:
            self._releasing = False
        if self._claimed:
            self._released(reason, failed)

    async def release_before_hangup(self) -> None:
        """Release the machine before healthd disconnects; stop trying after ``_HANGUP_S``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_HANGUP_S):
                await self.release("hang_up")
        if self._claimed:
            self._released("hang_up", [f"not finished within {_HANGUP_S:.0f} s"])

    def _lose_control(self, reason: str) -> None:
        """Note that control is lost: another client has it, or the machine is used by hand."""
        if self._granted:
            self._report("lost", reason=reason)
        self._claimed = self._granted = False

    def _released(self, reason: str, failed: list[str]) -> None:
        self._claimed = self._granted = False
        detail = "; ".join(text for text in failed if text) or None
        # A bike counts as released even if resetting the grade failed; a treadmill may still be
        # moving.
        harmless = not failed[-1] and (detail is None or not self._machine.is_treadmill)
        self._report("released" if harmless else "release_failed", reason=reason, detail=detail)
        if failed[-1]:
            self._link.give_up(ControlFailed(f"the machine does not release control: {detail}"))

    async def _procedure(self, made: Command, verb: str) -> None:
        try:
            async with self._point.turn(TURN_S):
                await self._request_control(verb)
                word = await self._ask_in_both_widths(made)
        except Busy as error:
            text = f"the control point was in use for {TURN_S:.0f} s"
            raise Rejected("busy", text) from error
        if word == _SUCCESS:
            return
        if word == _NOT_PERMITTED:
            self._lose_control(word)
        ranges = [self._machine.ranges[key] for key in made.targets if key in self._machine.ranges]
        allowed = f"; it supports {ranges[0]}" if ranges else ""
        raise Rejected(word, f"the machine answered {word} to {verb}{allowed}")

    async def _ask_in_both_widths(self, made: Command) -> str:
        """Ask for a target; in the other width, too, if the machine may know only that one.

        A machine that has accepted one width is not asked in the other again.
        """
        word, narrow = await self._ask(made.request), made.narrow
        if word == _INVALID and made.other and self._learned.narrow is None:
            word, narrow = await self._ask(made.other), not narrow
        if word == _SUCCESS and narrow is not None:
            self._learned.narrow = narrow
        return word

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
            raise Rejected(word, f"the machine does not grant control: it answered {word}")
        self._granted, self._stopped = True, False
        self._renew()
        self._report("granted", verb)

    def _renew(self) -> None:
        self._until = time.monotonic() + self._rules.lease_s

    async def _ask(self, request: bytes) -> str:
        """Ask the machine and return its result as a word; wait no longer than the lease."""
        left_s = self.left_s
        try:
            return await self._exchange(
                request, ANSWER_S if left_s is None else min(ANSWER_S, left_s)
            )
        except Silent as error:
            if left_s is None or left_s > ANSWER_S:
                raise
            text = f"the lease of {self._rules.lease_s:g} s expired before the machine answered"
            raise Rejected("lease", text) from error

    async def _exchange(self, request: bytes, timeout_s: float) -> str:
        return result(await self._point.ask(request, partial(answers, request), timeout_s))

    async def _try_step(self, step: bytes) -> str:
        """Carry out one step of the release, with retries; return the error, empty for none."""
        error = ""
        for attempt in range(_TRIES if self._claimed else 0):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            try:
                word = await self._exchange(step, _STEP_S)
            except LinkLost:
                raise
            except LinkFault as fault:
                error = f"{step.hex()}: {fault}"
            except Silent:
                error = f"{step.hex()}: no answer"
            else:
                error = "" if word == _SUCCESS else f"{step.hex()}: {word}"
                if word == _NOT_PERMITTED:
                    self._lose_control(word)
                if word in (_SUCCESS, _NOT_PERMITTED, _NOT_SUPPORTED):
                    break
        return error
