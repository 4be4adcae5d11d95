"""The requests that wait for one peripheral, and whether they may still be carried out."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from healthd.profiles.common.machines import Rejected
from healthd.verbs import OLDEST_CONTROL_S, Control, OfPeripheral, Release, Stop, uptime_s

BEAT_S = 0.5
"""How often the event loop shows that it runs, while a request waits or a machine is held.

An expired lease is noticed within this time, even if the computer slept meanwhile.
"""

# A loop that shows nothing for so long has stood still (a suspended computer, a stopped process). A
# busy one is late by a tenth of a second.
_STALL_S = 2.0


def cancelled_by(request: OfPeripheral) -> Rejected:
    """Return the refusal of an order that this request to stop or release has cancelled."""
    return Rejected("stopped", f"cancelled by a request to {request.verb}")


@dataclass(slots=True, eq=False)
class Order:
    """A request to a peripheral and its result.

    Attributes:
        entered_s: when it came in, see `uptime_s`.
        begun: set when its turn has come, or when it is refused.
        outcome: the data of the response, or why it was refused.
    """

    request: OfPeripheral
    entered_s: float = field(default_factory=uptime_s)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[Mapping[str, Any] | Rejected] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_urgent(self) -> bool:
        """Whether it makes the machine safer, so that nothing may delay it."""
        return isinstance(self.request, Stop | Release)

    @property
    def age_s(self) -> float:
        """How old the request is; at least as old as its wait here."""
        return max(self.request.age_s, uptime_s() - self.entered_s)

    @property
    def made_s(self) -> float:
        """When it was made, at the latest; see `uptime_s`."""
        return min(self.entered_s, uptime_s() - self.request.known_age_s)

    @property
    def left_s(self) -> float | None:
        """How much longer it may be carried out; None: without a limit."""
        is_aging = isinstance(self.request, Control) and not self.is_urgent
        return OLDEST_CONTROL_S - self.age_s if is_aging else None

    def settle(self, outcome: Mapping[str, Any] | Rejected) -> None:
        """Set the result, unless there is one: the caller may have been cancelled."""
        self.begun.set()
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Orders:
    """The orders of one link that wait: urgent ones apart from all others.

    Attributes:
        urgent: requests to stop or release; they are carried out together.
    """

    def __init__(self, refuse: Callable[[Order, Rejected], None]) -> None:
        """Start empty; ``refuse`` answers an order that is not carried out."""
        self.urgent: list[Order] = []
        self._refuse = refuse
        self._waiting: deque[Order] = deque()
        self._news = asyncio.Event()
        self._idle = True
        self._beat_s = uptime_s()
        self._stalled_s = self._stopped_s = 0.0

    def beat(self) -> None:
        """Note that the event loop runs; call it every `BEAT_S` unless `news` waits for it."""
        now = uptime_s()
        if now - self._beat_s > BEAT_S + _STALL_S:
            self._stalled_s = now
        self._beat_s = now

    def add(self, order: Order) -> None:
        """Add an order; one to stop or release refuses all that wait."""
        if self._idle:
            self._idle, self._beat_s = False, uptime_s()
        if order.is_urgent:
            self._stopped_s = order.made_s
            self._refuse_waiting(cancelled_by(order.request))
            self.urgent.append(order)
        else:
            self._waiting.append(order)
        self._news.set()

    def take_urgent(self, *, stops: bool) -> list[Order]:
        """Return the urgent orders that are done with a stop, or with a release alone."""
        done = [order for order in self.urgent if stops or isinstance(order.request, Release)]
        self.urgent = [order for order in self.urgent if order not in done]
        return done

    def next(self) -> Order | None:
        """Return the first order that is still wanted; None if there is none."""
        while self._waiting:
            if not (order := self._waiting.popleft()).outcome.done():
                return order
        return None

    async def news(self, timeout_s: float | None) -> None:
        """Wait for an order, at most this long (seconds; None: without a limit)."""
        self._idle = timeout_s is None
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    def check(self, order: Order) -> None:
        """Refuse an order whose bytes are about to be written, if it must not move a machine.

        Raises:
            Rejected: it is too old, it waited while the event loop stood still, or it was made
                before a request to stop that came first.
        """
        left_s = order.left_s
        if left_s is None:
            return
        if self._has_stalled(order):
            text = "healthd stood still while the request waited; send it again"
            raise Rejected("stalled", text)
        if order.request.has_expired:
            raise Rejected("too_old", "the request has expired while it waited")
        if left_s <= 0:
            text = f"the request is {order.age_s:.1f} s old, expected less than"
            raise Rejected("too_old", f"{text} {OLDEST_CONTROL_S:.0f} s")
        if order.made_s < self._stopped_s:
            raise Rejected("stopped", "it was made before a request to stop that came first")

    def end(self, rejected: Rejected) -> None:
        """Refuse everything that waits."""
        self._refuse_waiting(rejected)
        for order in self.urgent:
            self._refuse(order, rejected)
        self.urgent.clear()

    def _has_stalled(self, order: Order) -> bool:
        """Return whether the event loop has stood still since the order came in."""
        unseen_s = uptime_s() - max(self._beat_s, order.entered_s)
        return order.entered_s < self._stalled_s or unseen_s > BEAT_S + _STALL_S

    def _refuse_waiting(self, rejected: Rejected) -> None:
        while self._waiting:
            if not (order := self._waiting.popleft()).outcome.done():
                self._refuse(order, rejected)
