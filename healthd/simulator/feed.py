"""Sources of a characteristic's payloads: periodic, or triggered by an event."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace

from bumble.att import ATT_Error
from bumble.gatt import Characteristic

from healthd.simulator.attributes import Number, writeable
from healthd.simulator.part import Part, Payloads

# ATT error: the indications that would carry the response are not enabled.
CCCD_IMPROPERLY_CONFIGURED = 0xFD


class Ticker:
    """Ticks at multiples of a period since the start, so that delays do not add up."""

    def __init__(self, period: float) -> None:
        """Start now; a running event loop is required.

        Args:
            period: Seconds between two ticks.
        """
        self._period = period
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._done = 0

    async def tick(self) -> float:
        """Wait for the next tick.

        Overdue ticks are skipped; their time counts towards the next tick.

        Returns:
            The seconds since the previous tick.
        """
        now = self._loop.time()
        due = max(self._done + 1, int((now - self._start) / self._period))
        await asyncio.sleep(self._start + due * self._period - now)
        elapsed = (due - self._done) * self._period
        self._done = due
        return elapsed


def paced(make: Callable[[float], Iterable[bytes]], period: float) -> Payloads:
    """Return a source of periodic payloads.

    Args:
        make: Returns the payloads of a tick, given the seconds since the previous tick.
        period: Seconds between two ticks.
    """

    async def payloads() -> AsyncGenerator[bytes, None]:
        ticker = Ticker(period)
        while True:
            for payload in make(await ticker.tick()):
                yield payload

    return payloads


def resting(part: Part, packets: int) -> Part:
    """Return a copy of a part that rests after ``packets`` packets on a link.

    Args:
        part: The part; the packets of its first characteristic are counted.
        packets: How many packets are sent before the peripheral disconnects.
    """
    (main, payloads), *others = part.payloads.items()

    async def limited() -> AsyncGenerator[bytes, None]:
        async with aclosing(payloads()) as generator:
            for _ in range(packets):
                yield await anext(generator)

    return replace(part, payloads={main: limited, **dict(others)}, rests=True)


class Feed:
    """A queue of payloads, sent in order while a central is subscribed."""

    def __init__(self, on_end: Callable[[], None] | None = None) -> None:
        """Create a feed without a subscription.

        Args:
            on_end: Called whenever a subscription has ended.
        """
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._on_end = on_end
        self.is_open = False

    def put(self, payload: bytes) -> None:
        """Queue a payload; discard it if no central is subscribed."""
        if self.is_open:
            self._queue.put_nowait(payload)

    async def drain(self) -> None:
        """Wait until all queued payloads have been handed to the link."""
        await self._queue.join()

    def merged_with(self, others: Payloads) -> Payloads:
        """Return a source that sends the payloads of this feed and those of another source."""

        async def payloads() -> AsyncGenerator[bytes, None]:
            async with aclosing(others()) as generator:
                pump = asyncio.create_task(
                    self._pump(generator), name="simulator: forward payloads to a feed"
                )
                try:
                    async with aclosing(self.payloads()) as merged:
                        async for payload in merged:
                            yield payload
                finally:
                    pump.cancel()
                    await asyncio.wait([pump])

        return payloads

    async def _pump(self, payloads: AsyncGenerator[bytes, None]) -> None:
        async for payload in payloads:
            self.put(payload)

    async def payloads(self) -> AsyncGenerator[bytes, None]:
        """Generate the queued payloads; a source for ``Part.payloads``."""
        self.is_open = True
        try:
            while True:
                payload = await self._queue.get()
                try:
                    yield payload
                finally:
                    self._queue.task_done()
        finally:
            self.is_open = False
            while not self._queue.empty():
                self._queue.get_nowait()
                self._queue.task_done()
            if self._on_end is not None:
                self._on_end()


class ControlPoint:
    """A characteristic that responds to a write with an indication.

    Attributes:
        characteristic: The characteristic, for the service.
        feed: Its indications; ``feed.payloads`` goes into ``Part.payloads``.
    """

    characteristic: Characteristic[bytes]

    def __init__(
        self,
        number: Number,
        answer: Callable[[bytes], bytes | None],
        *,
        read: Callable[[], bytes] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Create the characteristic.

        Args:
            number: The number or UUID of the characteristic.
            answer: Returns the response to a written request; None to send no response.
            read: Returns the current value; None if it cannot be read.
            on_end: Called whenever a subscription has ended.
        """
        self.feed = Feed(on_end)
        self._answer = answer
        self.characteristic = writeable(number, self._write, read=read, indicates=True)

    def _write(self, request: bytes) -> None:
        if not self.feed.is_open:
            raise ATT_Error(CCCD_IMPROPERLY_CONFIGURED)
        if (answer := self._answer(request)) is not None:
            self.feed.put(answer)
