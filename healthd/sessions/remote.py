"""What requests ask of one peripheral: one after the other, as long as it is linked."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from healthd.central.faults import LinkFault
from healthd.events import ControlEvent
from healthd.profiles.fitness_machine.machine import machine_of
from healthd.profiles.fitness_machine.procedures import CONTROL_POINT, Rejected, loses_control
from healthd.profiles.heart_rate import RESET_ENERGY_EXPENDED
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.faults import ControlFailed
from healthd.sessions.outcomes import Outcomes
from healthd.sessions.subscriptions import Explain
from healthd.sessions.trainer import ANSWER_S, TURN_S, Rules, Trainer
from healthd.verbs import OfPeripheral, RequestRefused, ResetEnergyExpended, Stop

_ENERGY_CONTROL_POINT = "2a39"


@dataclass(slots=True)
class _Order:
    """A request, and what becomes of it.

    Attributes:
        begun: its turn has come, or it will have none.
        outcome: the data of its response, or why there is none.
    """

    request: OfPeripheral
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[Mapping[str, Any] | Rejected] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, outcome: Mapping[str, Any] | Rejected) -> None:
        self.begun.set()
        if not self.outcome.done():  # whoever asked may have left
            self.outcome.set_result(outcome)


class Remote:
    """Carries out the requests to one peripheral, link after link.

    A machine is held from the first request on, and released when the lease runs out without
    another one, when healthd hangs up, and when somebody asks it to stop.
    """

    def __init__(
        self, peripheral: str, rules: Rules, observer: Callable[[ControlEvent], None]
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            rules: what the settings say of controlling it.
            observer: is told of every outcome. Called in the event loop; must not block.
        """
        self._peripheral = peripheral
        self._rules = rules
        self._outcomes = Outcomes(peripheral, observer)
        self._points: ControlPoints | None = None
        self._trainer: Trainer | None = None
        self._orders: deque[_Order] = deque()
        self._ordered = asyncio.Event()

    async def ask(self, request: OfPeripheral) -> Mapping[str, Any]:
        """Have it carried out in its turn; what was set, and for how long it is held.

        Once begun it is carried out to its end, also when nobody waits for it any more.

        Raises:
            RequestRefused: it cannot be done, was not done, or its turn did not come.
        """
        order = _Order(request)
        self._enter(order)
        try:
            async with asyncio.timeout(TURN_S):
                await order.begun.wait()
        except TimeoutError:
            text = f"requests before this one took more than {TURN_S:.0f} s: try again"
            self._refuse(order, Rejected("busy", text))
        finally:
            if not order.begun.is_set():
                order.outcome.cancel()
        outcome = await order.outcome
        if isinstance(outcome, Rejected):
            raise RequestRefused(f"{self._peripheral}: {outcome}") from outcome
        return outcome

    def on_status(self, value: bytes) -> None:
        """The machine said something of itself."""
        if self._trainer is not None and loses_control(value):
            self._trainer.taken_away()

    async def serve(
        self, points: ControlPoints, facts: Mapping[str, bytes], explain: Explain
    ) -> None:
        """Carry out requests as long as the link lasts. Ends only by being cancelled.

        Args:
            points: the control points of the link.
            facts: what the device said of itself on this link, by UUID.
            explain: says what a refusal means, the device's bond considered.
        """
        link = points.link
        if link.can_write(CONTROL_POINT):
            machine = machine_of(link.characteristics, facts)
            self._trainer = Trainer(points, machine, self._rules, self._outcomes)
        self._points = points
        try:
            while True:
                if (order := await self._next()) is not None:
                    await self._carry_out(order, points, explain)
                elif self._trainer is not None:
                    await self._trainer.release("lease")
        finally:
            self._points = None
            while self._orders:
                if not (order := self._orders.popleft()).outcome.done():
                    self._refuse(order, Rejected("link_ended", "its link has ended"))
            if self._trainer is not None:
                await self._trainer.release_before_hangup()
                self._trainer = None

    def _enter(self, order: _Order) -> None:
        if self._points is None:
            self._refuse(order, Rejected("not_linked", "it is not linked at the moment"))
            return
        if isinstance(order.request, Stop):
            # What was asked before it must not set the machine going again behind it.
            for other in self._orders:
                if not (isinstance(other.request, Stop) or other.outcome.done()):
                    self._refuse(other, Rejected("stopped", "another request has it stopped"))
        self._orders.append(order)
        self._ordered.set()

    async def _next(self) -> _Order | None:
        """The next one that somebody waits for; None where the lease runs out before."""
        left_s = None if self._trainer is None else self._trainer.left_s
        if left_s is not None and left_s <= 0:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                while True:
                    while self._orders:
                        if not (order := self._orders.popleft()).outcome.done():
                            return order
                    self._ordered.clear()
                    await self._ordered.wait()
        return None

    async def _carry_out(self, order: _Order, points: ControlPoints, explain: Explain) -> None:
        order.begun.set()
        try:
            order.settle(await self._obeyed(order.request, points))
        except Rejected as rejected:
            self._refuse(order, rejected)
        except LinkFault as fault:
            told = await explain(points.link.found, fault)
            self._refuse(order, Rejected(told.reason, str(told)))
        except Silent:
            self._refuse(order, Rejected("silent", f"no answer within {ANSWER_S:.0f} s"))
            if self._trainer is not None:
                await self._trainer.release("silent")
            points.link.give_up(ControlFailed("its control point did not answer"))
        except BaseException:
            self._refuse(order, Rejected("link_ended", "its link ended before it answered"))
            raise

    async def _obeyed(self, request: OfPeripheral, points: ControlPoints) -> Mapping[str, Any]:
        if isinstance(request, ResetEnergyExpended):
            return await self._reset_energy(request, points)
        if self._trainer is None:
            raise Rejected("not_supported", "it has no control point of a fitness machine")
        targets = await self._trainer.obey(request)
        held = {} if self._trainer.left_s is None else {"lease_s": self._rules.lease_s}
        return {**targets, **held}

    async def _reset_energy(
        self, request: ResetEnergyExpended, points: ControlPoints
    ) -> Mapping[str, Any]:
        if not points.link.can_write(_ENERGY_CONTROL_POINT):
            text = "it has no heart-rate control point: there is no counter to be reset"
            raise Rejected("not_supported", text)
        point = points.of(_ENERGY_CONTROL_POINT)
        try:
            async with point.turn(TURN_S), asyncio.timeout(ANSWER_S):
                await point.write(RESET_ENERGY_EXPENDED)
        except Busy as error:
            raise Rejected("busy", f"its control point was in use for {TURN_S:.0f} s") from error
        except TimeoutError as error:
            raise Silent from error
        self._outcomes.tell("reset", request.verb)
        return {}

    def _refuse(self, order: _Order, rejected: Rejected) -> None:
        self._outcomes.tell(
            "refused", order.request.verb, reason=rejected.reason, detail=str(rejected)
        )
        order.settle(rejected)
