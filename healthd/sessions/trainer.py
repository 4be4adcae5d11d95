"""Control of a fitness machine on one link: requested, renewed by further requests, released."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.host.clock import uptime_s
from healthd.profiles.fitness_machine.commands import REQUEST_CONTROL, RESET, STOP
from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Learned, Machine
from healthd.profiles.fitness_machine.procedures import (
    CONTROL_POINT,
    Command,
    answers,
    command,
    release,
    result,
)
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.faults import ControlFailed
from healthd.sessions.outcomes import Outcomes
from healthd.verbs import OLDEST_CONTROL_S, OfPeripheral, SetSimulation, Start

Check = Callable[[], None]
"""Called before a request is written; raises Rejected if it must not be written any more."""

# Machines answer within a second, and some count down from three before they start. The services
# allow 30 s; the lease, or a request to stop, can end the wait earlier.
ANSWER_S = 10.0

# Stopping and releasing a machine is urgent; after three tries its link is ended instead.
_STEP_S = 2.0
_TRIES = 3

# The reset, which gives up control, is written within this time after the end of the lease,
# even if a stop or the steps before it get no answer: a release is promised within a second. The
# last step before it has the shorter time at least.
_URGENT_S, _LEAST_S = 0.8, 0.2

# For all tries of the reset: three without an answer, or a machine that is busy for long.
_RELEASE_S = 8.0

# Between two tries. Three of them fit into `_URGENT_S`.
_PAUSE_S = 0.3

# A belt that counts down from three may refuse a speed until it moves, so it is tried again.
_SLOW_TRIES, _SLOW_PAUSE_S = 5, 1.0

# Time limit for the release before healthd disconnects; systemd gives the whole stop 20 s.
_HANGUP_S = 3.0

# Results of `procedures.result`.
_SUCCESS, _NOT_SUPPORTED = "success", "opcode_not_supported"
_INVALID, _NOT_PERMITTED = "invalid_parameter", "control_not_permitted"


def _unchecked() -> None:
    """Let the request be written, whatever happened meanwhile."""


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
        return self._until - uptime_s() if self._granted else None

    @property
    def is_claimed(self) -> bool:
        """Whether control was requested and may be healthd's."""
        return self._claimed

    async def execute(self, request: OfPeripheral, check: Check) -> Mapping[str, float]:
        """Carry out a request, and renew the lease; return the targets that were set.

        Raises:
            Rejected: it is not allowed, or the machine refused.
            Silent: the machine did not answer.
            LinkFault: the machine could not be asked.
        """
        machine = self._learned.applied_to(self._machine)
        made = command(request, machine, self._rules.limits)
        # Before it is written: it may be interrupted after that.
        self._simulated |= isinstance(request, SetSimulation)
        self._stopped = False
        await self._procedure(made, request, partial(self._check, check))
        self._report(made.change, request.verb, targets=made.targets)
        return made.targets

    async def stop(self) -> None:
        """Stop the machine and release it; the release does not depend on the stop.

        Raises:
            Rejected: the machine refused to stop, or did not answer.
            LinkFault: the link ended.
        """
        try:
            async with self._point.turn(_STEP_S):
                if not self._granted:
                    await self._request_control_to_stop()
                left_s = self.left_s
                patience_s = _STEP_S if left_s is None else max(0.0, left_s) + _URGENT_S - _LEAST_S
                error, word = await self._try_step(STOP, min(_STEP_S, patience_s))
        except Busy:
            error, word = f"the control point was in use for {_STEP_S:.0f} s", "busy"
        if not error:
            self._stopped = True
            self._report("stopped", "stop")
        await self.release("stop")
        if error:
            answer = "did not answer" if word == "silent" else f"answered {word} to stop"
            raise Rejected(word, f"the machine {answer}: {error}")

    def on_control_lost(self) -> None:
        """Handle the machine's message that control is lost; some send it after a release, too."""
        if not self._releasing:
            self._lose_control("permission_lost")

    async def release(self, reason: str) -> str | None:
        """Release the machine: a bike has no load, a treadmill stands still.

        If the machine does not confirm, its link is ended, because control ends with the link.

        Returns:
            What went wrong; None if nothing did, or if the machine was not held.
        """
        if not self._claimed:
            return None
        failed: list[str] = []
        self._releasing = True
        try:
            left_s = self.left_s or 0.0
            within_s = min(_URGENT_S, max(_LEAST_S, left_s + _URGENT_S))
            async with self._point.turn(within_s):
                *first, last = release(
                    self._machine, simulated=self._simulated, stopped=self._stopped
                )
                for step in first:
                    failed.append((await self._try_step(step, within_s))[0])
                if self._claimed:
                    failed.append((await self._try_step(last, _RELEASE_S))[0])
        except Busy:
            failed.append("the control point is in use")
        except LinkLost as fault:
            # Without a release, the machine may keep its target.
            self._learned.unreleased = True
            self._lose_control(fault.reason)
        finally:
            self._releasing = False
        return self._released(reason, failed) if self._claimed else None

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

    def _released(self, reason: str, failed: list[str]) -> str | None:
        self._claimed = self._granted = False
        detail = "; ".join(text for text in failed if text) or None
        # A bike counts as released even if resetting the grade failed; a treadmill may still be
        # moving.
        harmless = not failed[-1] and (detail is None or not self._machine.is_treadmill)
        self._report("released" if harmless else "release_failed", reason=reason, detail=detail)
        self._learned.unreleased = bool(failed[-1])
        if failed[-1]:
            self._link.give_up(ControlFailed(f"the machine does not release control: {detail}"))
        return None if harmless else detail

    def _check(self, check: Check) -> None:
        """Refuse a request that must not be written any more, also because of the lease."""
        check()
        if self.left_s is not None and self.left_s <= 0:
            raise Rejected("lease", f"the lease of {self._rules.lease_s:g} s has expired")

    async def _request_control_to_stop(self) -> None:
        """Request control; without it, or while it is busy, a machine may still stop."""
        try:
            await self._request_control("stop", _unchecked, _STEP_S)
        except LinkLost:
            raise
        except (LinkFault, Rejected, Silent):
            pass

    async def _procedure(self, made: Command, request: OfPeripheral, check: Check) -> None:
        verb = request.verb
        try:
            async with self._point.turn(OLDEST_CONTROL_S):
                await self._request_control(verb, check)
                if isinstance(request, Start) and self._learned.unreleased:
                    await self._forget_targets(verb, check)
                word = await self._ask_in_both_widths(made, check)
                if word == _SUCCESS:
                    self._renew()
                    if made.then:
                        await self._slow_down(made.then)
        except Busy as error:
            text = f"the control point was in use for {OLDEST_CONTROL_S:.0f} s"
            raise Rejected("busy", text) from error
        if word == _SUCCESS:
            return
        if word == _NOT_PERMITTED:
            self._lose_control(word)
        ranges = [self._machine.ranges[key] for key in made.targets if key in self._machine.ranges]
        allowed = f"; it supports {ranges[0]}" if ranges else ""
        raise Rejected(word, f"the machine answered {word} to {verb}{allowed}")

    async def _forget_targets(self, verb: str, check: Check) -> None:
        """Reset a machine whose last link ended while it was held: it may still have a target.

        The limits may have changed since, and a rider who starts it now expects no load.
        """
        await self._exchange(RESET, ANSWER_S, check)
        self._granted = False
        await self._request_control(verb, check)
        self._learned.unreleased = False

    async def _slow_down(self, slow: bytes) -> None:
        """Set a belt that has just started to a low speed; stop it if it does not obey."""
        word = await self._exchange(slow, ANSWER_S)
        for _ in range(_SLOW_TRIES):
            # Without a target speed, the belt has only the speed of its own keys.
            if word in (_SUCCESS, _NOT_SUPPORTED):
                return
            if word == _NOT_PERMITTED:
                break
            await asyncio.sleep(_SLOW_PAUSE_S)
            word = await self._exchange(slow, ANSWER_S)
        await self._try_step(STOP, _STEP_S)
        text = "the machine was stopped again, because it does not accept the lowest allowed speed"
        raise Rejected(word, f"{text}: it answered {word}")

    async def _ask_in_both_widths(self, made: Command, check: Check) -> str:
        """Ask for a target; in the other width, too, if the machine may know only that one.

        A machine that has accepted one width is not asked in the other again.
        """
        word, narrow = await self._exchange(made.request, ANSWER_S, check), made.narrow
        if word == _INVALID and made.other and self._learned.narrow is None:
            word, narrow = await self._exchange(made.other, ANSWER_S, check), not narrow
        if word == _SUCCESS and narrow is not None:
            self._learned.narrow = narrow
        return word

    async def _request_control(self, verb: str, check: Check, timeout_s: float = ANSWER_S) -> None:
        if self._granted:
            return
        # An earlier request may still be granted.
        was_claimed, self._claimed = self._claimed, True
        try:
            word = await self._exchange(REQUEST_CONTROL, timeout_s, check)
        except (LinkFault, Rejected):
            self._claimed = was_claimed
            raise
        except Silent:
            # It may still grant control, even if someone has just used its keys.
            self._claimed = True
            raise
        if word != _SUCCESS:
            self._claimed = False
            raise Rejected(word, f"the machine does not grant control: it answered {word}")
        self._claimed = self._granted = True
        self._stopped = False
        self._renew()
        self._report("granted", verb)

    def _renew(self) -> None:
        self._until = uptime_s() + self._rules.lease_s

    async def _exchange(self, request: bytes, timeout_s: float, check: Check = _unchecked) -> str:
        """Ask the machine and return its result as a word."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._point.subscribe()
                check()  # Nothing may come between this and the write.
                return result(await self._point.ask(request, partial(answers, request), timeout_s))
        except TimeoutError as error:
            raise Silent from error

    async def _try_step(self, step: bytes, within_s: float) -> tuple[str, str]:
        """Carry out one step of a stop or release, with retries; return the error and a word.

        Args:
            step: what to write.
            within_s: for everything together, in seconds.
        """
        error, word = f"{step.hex()}: no answer", "silent"
        end_s, tries = uptime_s() + within_s, _TRIES
        while (left_s := end_s - uptime_s()) > 0:
            try:
                word = await self._exchange(step, min(_STEP_S, left_s))
            except LinkLost:
                raise
            except LinkFault as fault:
                # It is busy with an earlier request (ATT error 0xFE): no try of this step.
                error, word = f"{step.hex()}: {fault}", fault.reason
            except Silent:
                error, word, tries = f"{step.hex()}: no answer", "silent", tries - 1
            else:
                error, tries = "" if word == _SUCCESS else f"{step.hex()}: {word}", tries - 1
                if word == _NOT_PERMITTED:
                    self._lose_control(word)
                if word in (_SUCCESS, _NOT_PERMITTED, _NOT_SUPPORTED):
                    break
            if not tries:
                break
            await asyncio.sleep(max(0.0, min(_PAUSE_S, end_s - uptime_s())))
        return error, word
