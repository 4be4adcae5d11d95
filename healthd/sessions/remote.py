"""Carries out requests to one peripheral, one after the other, while it is linked."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from healthd.central.faults import LinkFault
from healthd.central.link import Link
from healthd.events import ControlEvent
from healthd.profiles.fitness_machine.machine import Learned, Machine, machine_of
from healthd.profiles.fitness_machine.procedures import CONTROL_POINT, Rejected, loses_control
from healthd.profiles.heart_rate import RESET_ENERGY_EXPENDED
from healthd.profiles.quirks import decoders_for, identity_of, writers_for
from healthd.sessions.control_point import Busy, ControlPoints, Silent
from healthd.sessions.faults import ControlFailed
from healthd.sessions.outcomes import Outcomes
from healthd.sessions.starter import Starter
from healthd.sessions.trainer import ANSWER_S, TURN_S, Rules, Trainer
from healthd.sessions.values import Explain
from healthd.supervision.deadline import timeout
from healthd.verbs import OfPeripheral, Release, RequestRefused, ResetEnergyExpended, Start, Stop

_ENERGY_CONTROL_POINT = "2a39"


@dataclass(slots=True)
class _Order:
    """A queued request and its result.

    Attributes:
        begun: set when its turn has come, or when it is refused.
        outcome: the data of the response, or why it was refused.
    """

    request: OfPeripheral
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[Mapping[str, Any] | Rejected] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, outcome: Mapping[str, Any] | Rejected) -> None:
        self.begun.set()
        if not self.outcome.done():  # the caller may have been cancelled
            self.outcome.set_result(outcome)


class Remote:
    """Carries out the requests to one peripheral, link after link.

    A fitness machine is held from the first request on. It is released when the lease expires
    without another request, before healthd disconnects, and after a request to stop.
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
        self._trainer: Trainer | None = None
        self._learned, self._learned_from = Learned(), ""
        self._stopped = False
        self._orders: deque[_Order] = deque()
        self._ordered = asyncio.Event()

    @property
    def starts(self) -> bool:
        """Whether a machine is started on the next link: not after a request to stop it."""
        return self._rules.start and not self._stopped

    async def ask(self, request: OfPeripheral) -> Mapping[str, Any]:
        """Carry out a request in its turn; return what was set, and how long that is held.

        Once begun, it is carried out to its end even if the caller is cancelled.

        Raises:
            RequestRefused: it is not possible, it failed, or its turn did not come in time.
        """
        order = _Order(request)
        self._enter(order)
        try:
            async with asyncio.timeout(TURN_S):
                await order.begun.wait()
        except TimeoutError:
            text = f"earlier requests took more than {TURN_S:.0f} s; try again"
            self._refuse(order, Rejected("busy", text))
        finally:
            if not order.begun.is_set():
                order.outcome.cancel()
        outcome = await order.outcome
        if isinstance(outcome, Rejected):
            raise RequestRefused(f"{self._peripheral}: {outcome}") from outcome
        return outcome

    def on_status(self, value: bytes) -> None:
        """Handle a status notification of the machine."""
        if self._trainer is not None and loses_control(value):
            self._trainer.on_control_lost()

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
        machine = self._machine_of(link, facts)
        if link.can_write(CONTROL_POINT):
            learned = self._learned_of(link.found.address)
            self._trainer = Trainer(points, machine, learned, self._rules, self._outcomes)
        self._points = points
        try:
            if self.starts:
                await self._starter.start(points, machine, link.found.address)
            while True:
                if (order := await self._next()) is not None:
                    await self._carry_out(order, points, explain)
                elif self._trainer is not None:
                    await self._trainer.release("lease")
        finally:
            self._points = None
            self._starter.end()
            while self._orders:
                if not (order := self._orders.popleft()).outcome.done():
                    self._refuse(order, Rejected("link_ended", "the link has ended"))
            if self._trainer is not None:
                await self._trainer.release_before_hangup()
                self._trainer = None

    def _machine_of(self, link: Link, facts: Mapping[str, bytes]) -> Machine:
        device = identity_of(link.found.name, facts)
        decoders, writers = decoders_for(device), writers_for(device)
        factor = self._rules.speed_factor
        return machine_of(link.characteristics, facts, decoders, writers, factor)

    def _learned_of(self, address: str) -> Learned:
        """Return what this device has shown; it is forgotten if another device is linked."""
        if self._learned_from != address:
            self._learned, self._learned_from = Learned(), address
        return self._learned

    def _enter(self, order: _Order) -> None:
        if self._points is None:
            self._refuse(order, Rejected("not_linked", "not connected at the moment"))
            return
        if isinstance(order.request, Stop):
            # Requests from before the stop must not start the machine again after it.
            for other in self._orders:
                if not (isinstance(other.request, Stop) or other.outcome.done()):
                    self._refuse(other, Rejected("stopped", "cancelled by a request to stop"))
        self._orders.append(order)
        self._ordered.set()

    async def _next(self) -> _Order | None:
        """Return the next request that is still wanted; None if the lease expires first."""
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
            order.settle(await self._execute(order.request, points))
        except Rejected as rejected:
            self._refuse(order, rejected)
        except LinkFault as fault:
            explained = await explain(points.link.found, fault)
            self._refuse(order, Rejected(explained.reason, str(explained)))
        except Silent:
            self._refuse(order, Rejected("silent", f"no answer within {ANSWER_S:.0f} s"))
            if self._trainer is not None:
                await self._trainer.release("silent")
            points.link.give_up(ControlFailed("the control point did not answer"))
        except BaseException:
            self._refuse(order, Rejected("link_ended", "the link ended before the device answered"))
            raise

    async def _execute(self, request: OfPeripheral, points: ControlPoints) -> Mapping[str, Any]:
        if isinstance(request, ResetEnergyExpended):
            return await self._reset_energy(request, points)
        if self._trainer is None:
            raise Rejected("not_supported", "the device has no fitness machine control point")
        if isinstance(request, Release):
            await self._trainer.release("request")
            return {}
        if isinstance(request, Start | Stop):
            self._stopped = isinstance(request, Stop)
        targets = await self._trainer.execute(request)
        held = {} if self._trainer.left_s is None else {"lease_s": self._rules.lease_s}
        return {**targets, **held}

    async def _reset_energy(
        self, request: ResetEnergyExpended, points: ControlPoints
    ) -> Mapping[str, Any]:
        if not points.link.can_write(_ENERGY_CONTROL_POINT):
            text = "the device has no heart rate control point, so no counter to reset"
            raise Rejected("not_supported", text)
        point = points.of(_ENERGY_CONTROL_POINT)
        try:
            async with point.turn(TURN_S), timeout(ANSWER_S):
                await point.write(RESET_ENERGY_EXPENDED)
        except Busy as error:
            raise Rejected("busy", f"the control point was in use for {TURN_S:.0f} s") from error
        except TimeoutError as error:
            raise Silent from error
        self._outcomes.report("reset", request.verb)
        return {}

    def _refuse(self, order: _Order, rejected: Rejected) -> None:
        self._outcomes.report(
            "refused", order.request.verb, reason=rejected.reason, detail=str(rejected)
        )
        order.settle(rejected)
