"""One link to a replayed device: it answers as the capture did, when the capture did."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from bleak.exc import BleakError, BleakGATTProtocolError

from healthd.capture.replay.errors import error_of, is_silence
from healthd.capture.replay.exchanges import Exchange, Script
from healthd.capture.replay.recording import RecordedLink
from healthd.log import get_logger
from healthd.traffic.lines import Advertised, Notified, Read, Subscribed, Written

# A request of healthd that comes this much earlier than in the capture is answered when it was in
# the capture, so that all that follows keeps its time. One that comes even earlier is from a
# central that did other things first: it is answered at once.
_KEEP_PACE_S = 3.0

# A write that healthd has not made this long after the capture's central is one that healthd does
# not make.
_NOT_MADE_S = 3.0

# Values wait until healthd has subscribed. It makes one request after the other, so it has made
# all subscriptions that it wants once it is quiet for this long.
_SETTLED_S = 2.0

# The end of a link that the central closed: healthd closes it itself at about the same time.
_CLOSING_S = 1.0

# A request that healthd makes more often than the capture's central gets the last answers again,
# unless it has started a stream.
_REPEATED = 20

# An ATT error (Core Specification, Vol 3, Part F, 3.4.1.1).
_READ_NOT_PERMITTED = 0x02

Callback = Callable[[bytearray], None]


class ReplayedLink:
    """The device's end of one link.

    Attributes:
        recorded: what it was in the capture.
        ended: done when the link has ended.
        played: done when everything of the capture has happened.
    """

    def __init__(
        self,
        recorded: RecordedLink,
        late_s: float,
        origin: float,
        advertise: Callable[[Advertised], None],
    ) -> None:
        """Begin.

        Args:
            recorded: the link in the capture.
            late_s: how much later than in the capture it begins.
            origin: when the capture began, by the loop's clock.
            advertise: called with what the device advertises during the link.
        """
        loop = asyncio.get_running_loop()
        self.recorded = recorded
        self.ended: asyncio.Future[None] = loop.create_future()
        self.played: asyncio.Future[None] = loop.create_future()
        self._script = Script(recorded)
        self._origin = origin + late_s
        self._advertise = advertise
        self._late: dict[int, float] = {}
        self._made: dict[Exchange, asyncio.Event] = {
            exchange: asyncio.Event() for exchange in self._script.exchanges
        }
        self._left = sum(isinstance(event, Notified) for event in recorded.events)
        self._free_late_s = 0.0
        self._callbacks: dict[int, Callback] = {}
        self._subscribed = asyncio.Condition()
        self._quiet_since = loop.time()
        self._pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(service="replay")
        self._start(self._play(), "replay link")

    @property
    def is_up(self) -> bool:
        """Whether the link still exists."""
        return not self.ended.done()

    @property
    def is_closing(self) -> bool:
        """Whether only the central has to end it."""
        end = self.recorded.ended
        by_central = end is not None and (end.reason or "").startswith("healthd")
        return by_central and self.is_up and self.played.done()

    @property
    def late_s(self) -> float:
        """How much later than in the capture things happen now, beyond the device's delay."""
        return max(0.0, self._free_late_s, *self._late.values())

    def hang_up(self) -> None:
        """End the link."""
        if not self.ended.done():
            self.ended.set_result(None)
            if not self.played.done():
                self.played.set_result(None)
                if self._left > 0:
                    # Such as after a pause that healthd takes for a stall: it makes a new link.
                    hint = "healthd ended the link earlier than in the capture"
                    self._log.warning("values not replayed", count=self._left, hint=hint)
            current = asyncio.current_task()
            for task in self._tasks - {current}:
                task.cancel()

    async def read(self, handle: int) -> bytes:
        """Return what the capture's central read; see ``Script.request``.

        Raises:
            BleakError: it was refused, or the link has ended.
        """
        line = self._script.request(Read, handle)
        await self._answer(line)
        if not isinstance(line, Read) or line.value is None:
            raise BleakGATTProtocolError(_READ_NOT_PERMITTED)
        return line.value

    async def subscribe(self, handle: int, callback: Callback) -> None:
        """Deliver the values of a characteristic from now on.

        Raises:
            BleakError: it was refused, or the link has ended.
        """
        self._callbacks[handle] = callback
        async with self._subscribed:
            self._subscribed.notify_all()
        try:
            await self._answer(self._script.request(Subscribed, handle))
        except BaseException:
            self._callbacks.pop(handle, None)
            raise

    def unsubscribe(self, handle: int) -> None:
        """Deliver no more values of a characteristic."""
        self._callbacks.pop(handle, None)

    async def write(self, handle: int, value: bytes) -> None:
        """Answer a write as the most similar one of the capture was.

        Raises:
            BleakError: it was refused, or the link has ended.
        """
        exchange = self._script.exchange(handle, value)
        if exchange is None:
            # The capture's central has never written anything like it.
            await self._answer(None)
            return
        late_s = self._join(exchange)
        if not exchange.is_used or len(exchange.answers) <= _REPEATED:
            self._start(self._send_answers(exchange, late_s), "replay answers")
        exchange.is_used = True
        self._made[exchange].set()
        await self._answer(exchange.write, late_s)

    def _join(self, exchange: Exchange) -> float:
        """Return how much later than in the capture an exchange happens that healthd begins."""
        own_late_s = self._now() - self._origin - exchange.asked_t
        late_s = self._late.get(exchange.service, 0.0)
        if exchange.is_used or own_late_s < late_s - _KEEP_PACE_S:
            return own_late_s
        self._late[exchange.service] = late_s = max(late_s, own_late_s)
        return late_s

    async def _answer(self, line: Read | Subscribed | Written | None, late_s: float = 0.0) -> None:
        """Wait until a request is answered.

        Raises:
            Exception: as in the capture, or the link has ended.
        """
        if not self.is_up:
            raise BleakError("Not connected")
        self._pending += 1
        try:
            if line is not None:
                due = self._origin + late_s + line.t
                if is_silence(line.error):
                    await self.ended
                elif due - self._now() <= _KEEP_PACE_S:
                    await self._wait_until(due)
        finally:
            self._pending -= 1
            self._quiet_since = self._now()
        if not self.is_up:
            raise BleakError("Disconnected while a request was pending")
        if line is not None and line.error is not None:
            raise error_of(line.error, line.code)

    async def _wait_until(self, due: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await asyncio.shield(self.ended)

    async def _play(self) -> None:
        for exchange in self._script.exchanges:
            self._start(self._not_made(exchange), "replay write")
        for event in self._script.free:
            await self._sleep_until(self._origin + self._free_late_s + event.t)
            if isinstance(event, Advertised):
                self._advertise(event)
            else:
                self._free_late_s += await self._deliver(event)
        while others := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(others)
        await self._finish()

    async def _finish(self) -> None:
        recorded = self.recorded
        await self._sleep_until(self._origin + self.late_s + recorded.last_t)
        if (end := recorded.ended) is None:
            self.played.set_result(None)
            return
        if (end.reason or "").startswith("healthd"):
            # Nothing is left to happen: the daemon may be stopped meanwhile.
            self.played.set_result(None)
            await self._sleep_until(self._now() + _CLOSING_S)
        self.hang_up()

    async def _not_made(self, exchange: Exchange) -> None:
        """Go on after a write that healthd does not make."""
        while (due := self._give_up_at(exchange)) > self._now():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._made[exchange].wait()
                    return
        if exchange.is_used:
            return
        exchange.is_used = True
        late_s = self._now() - self._origin - exchange.asked_t
        if exchange.answers:
            self._late[exchange.service] = max(late_s, self._late.get(exchange.service, 0.0))
        await self._send_answers(exchange, late_s)

    def _give_up_at(self, exchange: Exchange) -> float:
        late_s = self._late.get(exchange.service, 0.0)
        # Of several such writes only the first one delays what follows.
        return self._origin + exchange.asked_t + max(late_s, _NOT_MADE_S)

    async def _send_answers(self, exchange: Exchange, late_s: float) -> None:
        for line in exchange.answers:
            await self._sleep_until(self._origin + late_s + line.t)
            late_s += await self._deliver(line)

    async def _deliver(self, line: Notified) -> float:
        """Deliver a value; return how long it had to wait for a subscription."""
        began = self._now()
        self._left -= 1
        while line.handle not in self._callbacks:
            left_s = _SETTLED_S if self._pending else self._quiet_since + _SETTLED_S - self._now()
            if left_s <= 0:
                return 0.0  # healthd does not want it
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s), self._subscribed:
                    await self._subscribed.wait()
        self._callbacks[line.handle](bytearray(line.value))
        return self._now() - began

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _sleep_until(self, due: float) -> None:
        if (left_s := due - self._now()) > 0:
            await asyncio.sleep(left_s)
