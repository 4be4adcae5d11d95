"""Carries out requests to one peripheral, one after the other, while it is linked."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from healthd.central.faults import LinkFault
from healthd.events import ControlEvent
from healthd.profiles.common.machines import FEC_DATA, STATUS, Learned, Rejected
from healthd.profiles.dialogue import Request
from healthd.profiles.profile import Profile
from healthd.sessions.control_point import ControlPoints, Silent
from healthd.sessions.device_commands import check_battery, write_command
from healthd.sessions.dialects import dialect_on, machine_on
from healthd.sessions.exchange import ANSWER_S, Check, unchecked
from healthd.sessions.faults import ControlFailed
from healthd.sessions.hold import Hold, Rules
from healthd.sessions.orders import BEAT_S, Order, Orders, cancelled_by
from healthd.sessions.outcomes import Outcomes
from healthd.sessions.starter import Starter
from healthd.sessions.values import Explain
from healthd.sessions.work import Interrupted, Rank, Work
from healthd.verbs import OfPeripheral, Release, RequestRefused, ResetEnergyExpended, Start, Stop

if TYPE_CHECKING:
    from healthd.sessions.trainer import Trainer

# How long a request waits for earlier ones: as long as one of them may stay unanswered. Requests to
# move a machine are refused at their age before that.
_TURN_S = ANSWER_S

_ENERGY_CONTROL_POINT = "2a39"


class Remote:
    """Carries out the requests to one peripheral, link after link.

    A fitness machine is held from the first request on. It is released when the lease expires
    without another request, before healthd disconnects, and after a request to stop or release it.
    Such a request comes before all others, and ends the one that is carried out.
    """

    def __init__(
        self, peripheral: str, rules: Rules, observer: Callable[[ControlEvent], None]
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            rules: what the settings say about controlling it.
            observer: receives every result. Called in the event loop; must not block.
        """
        self._peripheral = peripheral
        self._rules = rules
        self._outcomes = Outcomes(peripheral, observer)
        self._starter = Starter(peripheral, self._outcomes)
        self._points: ControlPoints | None = None
        self._hold: Hold | None = None
        self._trainer: Trainer | None = None
        self._learned, self._learned_from = Learned(), ""
        self._stopped = False
        self._orders = Orders(self._refuse)
        self._work = Work(f"control {peripheral}", self._orders.beat)

    @property
    def starts(self) -> bool:
        """Whether a machine is started on the next link: not after a request to stop it."""
        return self._rules.start and not self._stopped

    async def ask(self, request: OfPeripheral) -> Mapping[str, Any]:
        """Carry out a request in its turn; return what was set, and how long that is held.

        Once begun, it is carried out to its end even if the caller is cancelled. A request to stop
        or to release is always carried out.

        Raises:
            RequestRefused: it is not possible, it failed, or its turn did not come in time.
        """
        order = Order(request)
        left_s = order.left_s
        wait_s = _TURN_S if left_s is None else min(_TURN_S, left_s)
        self._enter(order)
        try:
            async with asyncio.timeout(None if order.is_urgent else wait_s):
                await order.begun.wait()
        except TimeoutError:
            text = f"earlier requests took more than {wait_s:.0f} s; try again"
            self._refuse(order, Rejected("busy", text))
        finally:
            if not order.begun.is_set():
                order.outcome.cancel()
        outcome = await order.outcome
        if isinstance(outcome, Rejected):
            raise RequestRefused(f"{self._peripheral}: {outcome}") from outcome
        return outcome

    @property
    def listeners(self) -> Mapping[str, Callable[[bytes], None]]:
        """What to call with the values of streams that say something about control, by UUID."""
        return {STATUS: self.on_status, FEC_DATA: self.on_answer}

    def on_answer(self, value: bytes) -> None:
        """Handle a value of a stream that also carries answers to requests."""
        if self._hold is not None:
            self._hold.exchange.hear(value)

    def on_status(self, value: bytes) -> None:
        """Handle a status notification of the machine."""
        if self._hold is not None:
            from healthd.profiles.fitness_machine.procedures import loses_control

            if loses_control(value):
                self._hold.on_control_lost()

    async def serve(
        self, points: ControlPoints, facts: Mapping[str, bytes], explain: Explain
    ) -> None:
        """Carry out requests during a link. Runs until it is cancelled.

        Args:
            points: the control points of the link.
            facts: the static values that were read on this link, by UUID.
            explain: returns what a refusal means, taking the device's bond into account.
        """
        link = points.link
        speed_factor = self._rules.speed_factor
        if (dialect := dialect_on(points, facts, speed_factor)) is not None:
            from healthd.sessions.trainer import Trainer  # with what machines need

            learned = self._learned_of(link.found.address)
            self._hold = Hold(points, dialect, learned, self._rules, self._outcomes)
            self._trainer = Trainer(self._hold, dialect, learned, self._outcomes)
        self._points = points
        try:
            if self._hold is not None:
                await self._begin(self._hold)
            if self.starts:
                machine = machine_on(link, facts, speed_factor)
                starting = self._starter.start(points, machine, link.found.address)
                with suppress(Interrupted):
                    await self._work.run(Rank.ORDER, starting)
            await self._serve(points, explain)
        finally:
            self._points = None
            self._starter.end()
            self._orders.end(Rejected("link_ended", "the link has ended"))
            if self._hold is not None:
                await self._hold.release_before_hangup()
                self._hold = self._trainer = None

    async def _begin(self, hold: Hold) -> None:
        with suppress(Interrupted):
            if hold.is_left_over:
                await self._work.run(Rank.RELEASE, hold.release_leftover())
            if hold.exchange.greets:
                await self._work.run(Rank.ORDER, hold.exchange.greet())

    async def _serve(self, points: ControlPoints, explain: Explain) -> None:
        """Do what is most urgent, one after the other; an expired lease comes first."""
        while True:
            self._orders.beat()
            left_s = self._left_s()
            if left_s is not None and left_s <= 0:
                await self._release("lease")
            elif self._orders.urgent:
                await self._carry_out_urgent(points, explain)
            elif (order := self._orders.next()) is not None:
                await self._carry_out(order, points, explain)
            else:
                await self._orders.news(None if left_s is None else min(BEAT_S, left_s))

    def _left_s(self) -> float | None:
        return None if self._hold is None else self._hold.left_s

    def _learned_of(self, address: str) -> Learned:
        """Return what this device has shown; it is forgotten if another device is linked."""
        if self._learned_from != address:
            self._learned, self._learned_from = Learned(), address
        return self._learned

    def _enter(self, order: Order) -> None:
        request = order.request
        # Even without a link: the next one must not start the machine.
        self._stopped |= isinstance(request, Stop)
        try:
            self._orders.check(order)
        except Rejected as rejected:
            self._refuse(order, rejected)
            return
        if self._points is not None:
            self._orders.add(order)
            if order.is_urgent:
                rank = Rank.STOP if isinstance(request, Stop) else Rank.RELEASE
                self._work.interrupt(rank, cancelled_by(request))
        elif isinstance(request, Release):
            order.settle({"released": False})
        else:
            self._refuse(order, Rejected("not_linked", "not connected at the moment"))

    async def _carry_out(self, order: Order, points: ControlPoints, explain: Explain) -> None:
        order.begun.set()
        try:
            work = self._execute(order, points)
            order.settle(await self._work.run(Rank.ORDER, work, self._left_s))
        except Interrupted as interrupted:
            text = f"the lease of {self._rules.lease_s:g} s expired before the machine answered"
            self._refuse(order, interrupted.why or Rejected("lease", text))
        except Rejected as rejected:
            self._refuse(order, rejected)
        except LinkFault as fault:
            explained = await explain(points.link.found, fault)
            self._refuse(order, Rejected(explained.reason, str(explained)))
        except Silent:
            self._refuse(order, Rejected("silent", f"no answer within {ANSWER_S:.0f} s"))
            await self._release("silent")
            points.link.give_up(ControlFailed("the control point did not answer"))
        except BaseException:
            self._refuse(order, Rejected("link_ended", "the link ended before the device answered"))
            raise

    async def _carry_out_urgent(self, points: ControlPoints, explain: Explain) -> None:
        """Stop or release the machine once, for all who ask for it by the time it is done."""
        stops = any(isinstance(order.request, Stop) for order in self._orders.urgent)
        try:
            rank = Rank.STOP if stops else Rank.RELEASE
            outcome = await self._work.run(
                rank, self._stop(points) if stops else self._give_up_control()
            )
        except Interrupted:
            return  # A stop has come, which releases the machine, too.
        except Rejected as rejected:
            outcome = rejected
        except LinkFault as fault:
            explained = await explain(points.link.found, fault)
            outcome = Rejected(explained.reason, str(explained))
        except Silent:
            outcome = Rejected("silent", f"no answer within {ANSWER_S:.0f} s")
        for order in self._orders.take_urgent(stops=stops):
            if isinstance(outcome, Rejected):
                self._refuse(order, outcome)
            else:
                order.settle(outcome)

    async def _release(self, reason: str) -> None:
        """Release the machine, unless a stop comes, which releases it, too."""
        if self._hold is not None:
            with suppress(Interrupted):
                await self._work.run(Rank.RELEASE, self._hold.release(reason))

    async def _stop(self, points: ControlPoints) -> Mapping[str, Any]:
        if (command := points.command(Stop.verb)) is not None:
            await self._command(*command, Stop.verb, points)
            return {}
        if self._hold is None:
            raise _no_control_point()
        await self._hold.stop()
        return {}

    async def _give_up_control(self) -> Mapping[str, Any]:
        if self._hold is None:
            raise _no_control_point()
        was_held = self._hold.is_claimed
        if (detail := await self._hold.release("request")) is not None:
            raise Rejected("release_failed", detail)
        return {"released": was_held}

    async def _execute(self, order: Order, points: ControlPoints) -> Mapping[str, Any]:
        request = order.request
        if isinstance(request, ResetEnergyExpended):
            return await self._reset_energy(request, points)
        if (command := points.command(request.verb)) is not None:
            await self._command(*command, request.verb, points, partial(self._orders.check, order))
            return {}
        if self._trainer is None:
            raise _no_control_point()
        if isinstance(request, Start):
            self._stopped = False
        targets = await self._trainer.execute(request, partial(self._orders.check, order))
        held = {} if self._left_s() is None else {"lease_s": self._rules.lease_s}
        return {**targets, **held}

    async def _command(
        self,
        profile: Profile,
        command: Request,
        verb: str,
        points: ControlPoints,
        check: Check = unchecked,
    ) -> None:
        """Write what a profile has for a verb.

        Raises:
            Rejected: the battery is too low for it, or ``check`` has refused it.
        """
        if verb != Stop.verb:
            await check_battery(points.link, profile)
        await write_command(points.of(command.control), command.data, check)
        self._outcomes.report("stopped" if verb == Stop.verb else "started", verb)

    async def _reset_energy(
        self, request: ResetEnergyExpended, points: ControlPoints
    ) -> Mapping[str, Any]:
        if not points.link.can_write(_ENERGY_CONTROL_POINT):
            text = "the device has no heart rate control point, so no counter to reset"
            raise Rejected("not_supported", text)
        from healthd.profiles.heart_rate import RESET_ENERGY_EXPENDED

        await write_command(points.of(_ENERGY_CONTROL_POINT), RESET_ENERGY_EXPENDED)
        self._outcomes.report("reset", request.verb)
        return {}

    def _refuse(self, order: Order, rejected: Rejected) -> None:
        self._outcomes.report(
            "refused", order.request.verb, reason=rejected.reason, detail=str(rejected)
        )
        order.settle(rejected)


def _no_control_point() -> Rejected:
    return Rejected("not_supported", "the device has no fitness machine control point")
