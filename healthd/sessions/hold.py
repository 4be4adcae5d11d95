"""Control of a machine on one link: requested, held for a lease, and released or lost."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.common.machines import Learned, Limits, Rejected
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.exchange import (
    ANSWER_S,
    NOT_PERMITTED,
    STEP_S,
    SUCCESS,
    Check,
    Exchange,
    unchecked,
)
from healthd.sessions.faults import ControlFailed
from healthd.sessions.outcomes import Outcomes
from healthd.verbs import uptime_s

if TYPE_CHECKING:
    from healthd.profiles.fitness_machine.dialect import Dialect

# The reset, which gives up control, is written within this time after the end of the lease,
# even if a stop or the steps before it get no answer: a release is promised within a second. The
# last step before it has the shorter time at least.
_URGENT_S, _LEAST_S = 0.8, 0.2

# For all tries of the reset: three without an answer, or a machine that is busy for long.
_RELEASE_S = 8.0

# Time limit for the release before healthd disconnects; systemd gives the whole stop 20 s.
_HANGUP_S = 3.0


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


class Hold:
    """The control of one machine on one link.

    Attributes:
        exchange: the exchange with the machine.
        rules: what the settings say.
    """

    def __init__(
        self,
        points: ControlPoints,
        dialect: "Dialect",
        learned: Learned,
        rules: Rules,
        outcomes: Outcomes,
    ) -> None:
        """Prepare; control is requested later.

        Args:
            points: the control points of the machine's link.
            dialect: how it is controlled.
            learned: what it has shown on this link and earlier ones; updated.
            rules: what the settings say.
            outcomes: reports all results.
        """
        self._link = points.link
        self.exchange = Exchange(points.of(dialect.control), dialect, learned)
        self._dialect = dialect
        self._learned = learned
        self.rules = rules
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

    async def stop(self) -> None:
        """Stop the machine and release it; the release does not depend on the stop.

        Raises:
            Rejected: the machine refused to stop, or did not answer.
            LinkFault: the link ended.
        """
        try:
            async with self.exchange.turn(STEP_S):
                if not self._granted:
                    await self._request_control_to_stop()
                left_s = self.left_s
                patience_s = STEP_S if left_s is None else max(0.0, left_s) + _URGENT_S - _LEAST_S
                error, word = await self.try_step(self._dialect.stop, min(STEP_S, patience_s))
        except Busy:
            error, word = f"the control point was in use for {STEP_S:.0f} s", "busy"
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
            self.lose_control("permission_lost")

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
            async with self.exchange.turn(within_s):
                *first, last = self._dialect.release(
                    simulated=self._simulated, stopped=self._stopped
                )
                for step in first:
                    failed.append((await self.try_step(step, within_s))[0])
                if self._claimed:
                    failed.append((await self.try_step(last, _RELEASE_S))[0])
        except Busy:
            failed.append("the control point is in use")
        except LinkLost as fault:
            # Without a release, the machine may keep its target.
            self._learned.unreleased = True
            self.lose_control(fault.reason)
        finally:
            self._releasing = False
        return self._released(reason, failed) if self._claimed else None

    @property
    def is_left_over(self) -> bool:
        """Whether it still has the target of a link that was lost while it was held."""
        return self._dialect.keeps_targets and self._learned.unreleased

    async def release_leftover(self) -> None:
        """Release a machine that is left over."""
        self._claimed = True
        await self.release("link_lost")

    async def release_before_hangup(self) -> None:
        """Release the machine before healthd disconnects; stop trying after ``_HANGUP_S``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_HANGUP_S):
                await self.release("hang_up")
        if self._claimed:
            self._released("hang_up", [f"not finished within {_HANGUP_S:.0f} s"])

    def lose_control(self, reason: str) -> None:
        """Note that control is lost: another client has it, or the machine is used by hand."""
        if self._granted:
            self._report("lost", reason=reason)
        self._claimed = self._granted = False

    def _released(self, reason: str, failed: list[str]) -> str | None:
        self._claimed = self._granted = False
        detail = "; ".join(text for text in failed if text) or None
        # A bike counts as released even if resetting the grade failed; a treadmill may still be
        # moving.
        harmless = not failed[-1] and (detail is None or not self._dialect.machine.is_treadmill)
        self._report("released" if harmless else "release_failed", reason=reason, detail=detail)
        self._learned.unreleased = bool(failed[-1])
        if failed[-1]:
            self._link.give_up(ControlFailed(f"the machine does not release control: {detail}"))
        return None if harmless else detail

    async def _request_control_to_stop(self) -> None:
        """Request control; without it, or while it is busy, a machine may still stop."""
        try:
            await self.request_control("stop", unchecked, STEP_S)
        except LinkLost:
            raise
        except (LinkFault, Rejected, Silent):
            pass

    async def request_control(self, verb: str, check: Check, timeout_s: float = ANSWER_S) -> None:
        """Request control, unless it is held.

        Raises:
            Rejected: the machine does not grant it, or ``check`` has refused to ask.
            Silent: the machine did not answer.
            LinkFault: the machine could not be asked.
        """
        if self._granted:
            return
        # An earlier request may still be granted.
        was_claimed, self._claimed = self._claimed, True
        try:
            word = await self._claim(check, timeout_s)
        except (LinkFault, Rejected):
            self._claimed = was_claimed
            raise
        except Silent:
            # It may still grant control, even if someone has just used its keys.
            self._claimed = True
            raise
        if word != SUCCESS:
            self._claimed = False
            raise Rejected(word, f"the machine does not grant control: it answered {word}")
        self._claimed = self._granted = True
        self._stopped = False
        self.renew()
        self._report("granted", verb)

    async def _claim(self, check: Check, timeout_s: float) -> str:
        if claim := self._dialect.claim:
            return await self.exchange.ask(claim, timeout_s, check)
        check()
        return SUCCESS

    async def try_step(self, step: bytes, within_s: float) -> tuple[str, str]:
        """Carry out one step of a stop or release; return the error, empty for none, and a word."""
        error, word = await self.exchange.insist(step, within_s)
        if word == NOT_PERMITTED:
            self.lose_control(word)
        return error, word

    def renew(self) -> None:
        """Begin the lease again."""
        self._until = uptime_s() + self.rules.lease_s

    def check(self, check: Check) -> None:
        """Refuse a request that must not be written any more, also because of the lease.

        Raises:
            Rejected: it is refused.
        """
        check()
        if self.left_s is not None and self.left_s <= 0:
            raise Rejected("lease", f"the lease of {self.rules.lease_s:g} s has expired")

    def note_move(self, *, simulates: bool) -> None:
        """Note that a request is about to be written; it may be interrupted after that."""
        self._simulated |= simulates
        self._stopped = False

    def request_again(self) -> None:
        """Note that a reset has ended control, which is requested again at once."""
        self._granted = False
