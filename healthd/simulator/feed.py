"""What a characteristic sends: in a rhythm, or when something happens."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace

from bumble.att import ATT_Error
from bumble.gatt import Characteristic

from healthd.simulator.attributes import Number, writeable
from healthd.simulator.part import Part, Payloads

# ATT: the indications that would carry the answer are not enabled.
CCCD_IMPROPERLY_CONFIGURED = 0xFD


class Rhythm:
    """Ticks that are due at multiples of a period since the start: errors do not add up."""

    def __init__(self, period: float) -> None:
        """Start now; call it inside the event loop.

        Args:
            period: seconds between two ticks.
        """
        self._period = period
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._done = 0

    async def tick(self) -> float:
        """Wait for the next tick.

        Those that are overdue are left out, and the time that they stand for goes to the next.

        Returns:
            The seconds since the tick before.
        """
        now = self._loop.time()
        due = max(self._done + 1, int((now - self._start) / self._period))
        await asyncio.sleep(self._start + due * self._period - now)
        elapsed = (due - self._done) * self._period
        self._done = due
        return elapsed


def paced(make: Callable[[float], Iterable[bytes]], period: float) -> Payloads:
    """Payloads in a rhythm.

    Args:
        make: what is sent at a tick; it is given the seconds since the tick before.
        period: seconds between two ticks.
    """

    async def payloads() -> AsyncGenerator[bytes, None]:
        rhythm = Rhythm(period)
        while True:
            for payload in make(await rhythm.tick()):
                yield payload

    return payloads


def resting(part: Part, packets: int) -> Part:
    """The same, and it rests once its first characteristic has sent so many packets on a link."""
    (main, payloads), *others = part.payloads.items()

    async def few() -> AsyncGenerator[bytes, None]:
        async with aclosing(payloads()) as generator:
            for _ in range(packets):
                yield await anext(generator)

    return replace(part, payloads={main: few, **dict(others)}, rests=True)


class Feed:
    """Payloads that are put in by hand, and sent in order while a central is subscribed."""

    def __init__(self, on_end: Callable[[], None] | None = None) -> None:
        """Make one that nobody is subscribed to.

        Args:
            on_end: called whenever a subscription has ended.
        """
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._on_end = on_end
        self.is_open = False

    def put(self, payload: bytes) -> None:
        """Send it after what was put before; nothing while nobody is subscribed."""
        if self.is_open:
            self._queue.put_nowait(payload)

    async def sent(self) -> None:
        """Wait until everything that was put has been handed to the link."""
        await self._queue.join()

    def beside(self, others: Payloads) -> Payloads:
        """Payloads of another source, in their own time, and what is put in between them."""

        async def payloads() -> AsyncGenerator[bytes, None]:
            async with aclosing(others()) as generator:
                pump = asyncio.create_task(self._pump(generator))
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
        """What ``Part.payloads`` takes."""
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
    """A characteristic that is written, and answers with an indication.

    Attributes:
        characteristic: goes into the service.
        feed: its indications; goes into ``Part.payloads``.
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
        """Make one.

        Args:
            number: of the characteristic.
            answer: from what was written to what is indicated; None is silence.
            read: its value, where it can be read.
            on_end: called whenever a central is no longer subscribed.
        """
        self.feed = Feed(on_end)
        self._answer = answer
        self.characteristic = writeable(number, self._write, read=read, indicates=True)

    def _write(self, request: bytes) -> None:
        if not self.feed.is_open:
            raise ATT_Error(CCCD_IMPROPERLY_CONFIGURED)
        if (answer := self._answer(request)) is not None:
            self.feed.put(answer)
