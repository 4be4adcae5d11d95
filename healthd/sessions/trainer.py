"""Requests to a fitness machine on one link, written while it is held."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.profiles.common.machines import Learned, Rejected
from healthd.profiles.fitness_machine.commands import RESET
from healthd.profiles.fitness_machine.dialect import Dialect
from healthd.profiles.fitness_machine.procedures import Command, command
from healthd.sessions.control_point import Busy
from healthd.sessions.exchange import (
    ANSWER_S,
    INVALID,
    NOT_PERMITTED,
    NOT_SUPPORTED,
    STEP_S,
    SUCCESS,
    Check,
)
from healthd.sessions.hold import Hold
from healthd.sessions.outcomes import Outcomes
from healthd.verbs import OLDEST_CONTROL_S, OfPeripheral, SetSimulation, Start

# A belt that counts down from three may refuse a speed until it moves, so it is tried again.
_SLOW_TRIES, _SLOW_PAUSE_S = 5, 1.0


class Trainer:
    """The requests to one machine; used by a single task, so procedures do not overlap."""

    def __init__(self, hold: Hold, dialect: Dialect, learned: Learned, outcomes: Outcomes) -> None:
        """Prepare.

        Args:
            hold: the control of the machine on this link.
            dialect: how it is controlled.
            learned: what it has shown on this link and earlier ones; updated.
            outcomes: reports all results.
        """
        self._hold = hold
        self._exchange = hold.exchange
        self._dialect = dialect
        self._learned = learned
        self._report = outcomes.report

    async def execute(self, request: OfPeripheral, check: Check) -> Mapping[str, float]:
        """Carry out a request, and renew the lease; return the targets that were set.

        Raises:
            Rejected: it is not allowed, or the machine refused.
            Silent: the machine did not answer.
            LinkFault: the machine could not be asked.
        """
        machine = self._dialect.machine.corrected(self._learned)
        made = command(request, machine, self._hold.rules.limits)
        # Before it is written: it may be interrupted after that.
        self._hold.note_move(simulates=isinstance(request, SetSimulation))
        await self._procedure(made, request, partial(self._hold.check, check))
        self._report(made.change, request.verb, targets=made.targets)
        return made.targets

    async def _procedure(self, made: Command, request: OfPeripheral, check: Check) -> None:
        verb = request.verb
        try:
            async with self._exchange.turn(OLDEST_CONTROL_S):
                await self._hold.request_control(verb, check)
                if isinstance(request, Start) and self._learned.unreleased:
                    await self._forget_targets(verb, check)
                word = await self._ask_all(made, check)
                if word == SUCCESS:
                    self._hold.renew()
                    if made.then:
                        await self._slow_down(made.then)
        except Busy as error:
            text = f"the control point was in use for {OLDEST_CONTROL_S:.0f} s"
            raise Rejected("busy", text) from error
        if word == SUCCESS:
            return
        if word == NOT_PERMITTED:
            self._hold.lose_control(word)
        known = self._dialect.machine.ranges
        ranges = [known[key] for key in made.targets if key in known]
        allowed = f"; it supports {ranges[0]}" if ranges else ""
        raise Rejected(word, f"the machine answered {word} to {verb}{allowed}")

    async def _forget_targets(self, verb: str, check: Check) -> None:
        """Reset a machine whose last link ended while it was held: it may still have a target.

        The limits may have changed since, and a rider who starts it now expects no load.
        """
        await self._exchange.ask(RESET, ANSWER_S, check)
        self._hold.request_again()
        await self._hold.request_control(verb, check)
        self._learned.unreleased = False

    async def _slow_down(self, slow: bytes) -> None:
        """Set a belt that has just started to a low speed; stop it if it does not obey."""
        error, word = await self._try_slow(slow)
        for _ in range(_SLOW_TRIES):
            # Without a target speed, the belt has only the speed of its own keys.
            if word in (SUCCESS, NOT_SUPPORTED):
                return
            if word == NOT_PERMITTED:
                break
            await asyncio.sleep(_SLOW_PAUSE_S)
            error, word = await self._try_slow(slow)
        await self._hold.try_step(self._dialect.stop, STEP_S)
        text = "the machine was stopped again, because it does not accept the lowest allowed speed"
        raise Rejected(word, f"{text}: it answered {error or word}")

    async def _try_slow(self, slow: bytes) -> tuple[str, str]:
        """Return the machine's answer in a word, and before it why it did not take the request."""
        try:
            return "", await self._exchange.ask(slow, ANSWER_S)
        except LinkLost:
            raise
        except LinkFault as fault:
            # Such as ATT error 0xFE: it is still busy with the start. The belt may move already.
            return str(fault), fault.reason

    async def _ask_all(self, made: Command, check: Check) -> str:
        """Ask step by step for a target, as long as the machine obeys."""
        *first, last = self._dialect.steps(made.request)
        for step in first:
            if (word := await self._exchange.ask(step, ANSWER_S, check)) != SUCCESS:
                return word
        return await self._ask_in_both_widths(replace(made, request=last), check)

    async def _ask_in_both_widths(self, made: Command, check: Check) -> str:
        """Ask for a target; in the other width, too, if the machine may know only that one.

        A machine that has accepted one width is not asked in the other again.
        """
        word, narrow = await self._exchange.ask(made.request, ANSWER_S, check), made.narrow
        if word == INVALID and made.other and self._learned.narrow is None:
            word, narrow = await self._exchange.ask(made.other, ANSWER_S, check), not narrow
        if word == SUCCESS and narrow is not None:
            self._learned.narrow = narrow
        return word
