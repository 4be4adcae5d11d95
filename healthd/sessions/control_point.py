"""Control points: one procedure at a time on each, whoever asks."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from healthd.central.link import Link
from healthd.profiles.characteristic import Characteristic
from healthd.profiles.registry import Registry

Tell = Callable[[Characteristic, bytes], None]
"""Called with every message of a control point, written or indicated, in their order."""


class Busy(Exception):
    """Somebody else has the control point's turn."""


class Silent(Exception):
    """The device did not answer."""


class ControlPoints:
    """Those of one link.

    Attributes:
        link: to the device that has them.
    """

    def __init__(self, link: Link, registry: Registry, tell: Tell) -> None:
        """Prepare; nothing is subscribed before it is needed.

        Args:
            link: to the device.
            registry: what healthd reads.
            tell: is told what is written and what is answered.
        """
        self.link = link
        self._registry = registry
        self._tell = tell
        self._points: dict[str, ControlPoint] = {}

    def of(self, uuid: str) -> "ControlPoint":
        """The control point with this canonical UUID, which the device has to have."""
        if uuid not in self._points:
            control = self._registry.characteristics[uuid]
            self._points[uuid] = ControlPoint(self.link, control, self._tell)
        return self._points[uuid]


class ControlPoint:
    """One of them."""

    def __init__(self, link: Link, control: Characteristic, tell: Tell) -> None:
        """Prepare; see ``ControlPoints``."""
        self._turn = asyncio.Lock()
        self._link = link
        self._control = control
        self._tell = tell
        self._answers: asyncio.Queue[bytes] | None = None

    @asynccontextmanager
    async def turn(self, patience_s: float | None = None) -> AsyncGenerator[None]:
        """Nobody else asks while the block runs, from its first request to the last answer.

        Args:
            patience_s: how long to wait for it; None: for as long as it takes.

        Raises:
            Busy: it did not come.
        """
        try:
            async with asyncio.timeout(patience_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Busy from error
        try:
            yield
        finally:
            self._turn.release()

    async def subscribe(self) -> None:
        """Have what it answers heard: a request that comes before is refused (ATT error 0xFD).

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        if self._answers is not None:
            return
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        def indicated(value: bytes) -> None:
            self._tell(self._control, value)
            answers.put_nowait(value)

        await self._link.subscribe(self._control.uuid, indicated)
        self._answers = answers

    async def write(self, request: bytes) -> None:
        """Ask; whatever was said before is the answer to nothing.

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        while self._answers is not None and not self._answers.empty():
            self._answers.get_nowait()
        # Told first: the answer may be here before the write has returned.
        self._tell(self._control, request)
        await self._link.write(self._control.uuid, request)

    async def answer(self, fits: Callable[[bytes], bool] = lambda _: True) -> bytes:
        """What it says to the request, once it is subscribed; for as long as it takes.

        Args:
            fits: whether a message is the answer; one that is not is passed over.
        """
        assert self._answers is not None, "nobody hears what is not subscribed"
        while not fits(value := await self._answers.get()):
            pass
        return value

    async def ask(self, request: bytes, fits: Callable[[bytes], bool], patience_s: float) -> bytes:
        """What it answers to a request; it is subscribed first, where it was not yet.

        Args:
            request: what is written.
            fits: whether a message is the answer; one that is not is passed over.
            patience_s: for all of it.

        Raises:
            Silent: it did not answer in time.
            LinkFault: the device refuses, does not answer, or is gone.
        """
        try:
            async with asyncio.timeout(patience_s):
                await self.subscribe()
                await self.write(request)
                return await self.answer(fits)
        except TimeoutError as error:
            raise Silent from error
