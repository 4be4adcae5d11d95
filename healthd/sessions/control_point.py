"""Control points: one procedure at a time on each."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import cached_property

from healthd.central.link import Link
from healthd.profiles.characteristic import Channel, Characteristic
from healthd.profiles.dialogue import Request
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.wire import wire_of

# No device sends more before the one that waits for the answer reads it: in one turn of the event
# loop. Of more, which a device that sends unasked may send forever, the newest are kept.
_MOST_UNREAD = 64

OnMessage = Callable[[Characteristic, bytes], None]
"""Called with every message of a control point, written or indicated, in order."""

OnAnswer = Callable[[Characteristic], None]
"""Called when a control point has sent a message."""


class Busy(Exception):
    """Another procedure is running on the control point."""


class Silent(Exception):
    """The device did not answer."""


class ControlPoints:
    """The control points of one link.

    Attributes:
        link: the link to the device that has them.
    """

    def __init__(
        self,
        link: Link,
        registry: Registry,
        on_message: OnMessage,
        on_answer: OnAnswer = lambda _: None,
    ) -> None:
        """Prepare; nothing is subscribed before it is needed.

        Args:
            link: the link to the device.
            registry: what healthd reads.
            on_message: receives what is written and what is answered.
            on_answer: called before ``on_message`` for what is answered.
        """
        self.link = link
        self._registry = registry
        self._on_message = on_message
        self._on_answer = on_answer
        self._points: dict[str, ControlPoint] = {}

    @cached_property
    def _profiles(self) -> list[Profile]:
        return self._registry.use_on(self.link.characteristics)

    def has(self, uuid: str) -> bool:
        """Return whether the device has the control point and lets it be written."""
        known = {each.uuid for profile in self._profiles for each in profile.characteristics}
        return uuid in known and self.of(uuid).is_there

    def of(self, uuid: str) -> "ControlPoint":
        """Return the control point with this canonical UUID; the device must have it."""
        if uuid not in self._points:
            control = self._registry.characteristics[uuid]
            point = ControlPoint(self.link, control, self._on_message, self._on_answer)
            self._points[uuid] = point
        return self._points[uuid]

    def command(self, verb: str) -> tuple[Profile, Request] | None:
        """Return what the device understands for a request with this verb; None for nothing."""
        for profile in self._profiles:
            command = profile.commands.get(verb)
            if command is not None and self.has(command.control):
                return profile, command
        return None


class ControlPoint:
    """One control point of a link.

    Attributes:
        messages: how many messages it has sent.
        size_bytes: how long they are together.
    """

    def __init__(
        self,
        link: Link,
        control: Characteristic,
        on_message: OnMessage,
        on_answer: OnAnswer = lambda _: None,
    ) -> None:
        """Prepare; see ``ControlPoints``."""
        self.messages = self.size_bytes = 0
        self._turn = asyncio.Lock()
        self._wire = wire_of(link, control)
        self._control = control
        self._on_message = on_message
        self._on_answer = on_answer
        # What was indicated and not read yet, oldest first.
        self._unread: deque[bytes] = deque(maxlen=_MOST_UNREAD)
        self._subscribed = False
        self._arrived = asyncio.Event()

    @property
    def channel(self) -> Channel | None:
        """How its messages travel; None if they are single values."""
        return self._control.channel

    @property
    def silence_s(self) -> float | None:
        """After how many seconds without an answer it counts as stalled, if it is polled."""
        return self._control.silence_s

    @property
    def is_there(self) -> bool:
        """Whether the device has it and lets it be written."""
        return self._wire.is_there

    @asynccontextmanager
    async def turn(self, timeout_s: float | None = None) -> AsyncGenerator[None]:
        """Reserve the control point for the block, from its first request to the last answer.

        Args:
            timeout_s: how long to wait for the turn; None: without a limit.

        Raises:
            Busy: the turn did not come in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Busy from error
        try:
            yield
        finally:
            self._turn.release()

    async def subscribe(self) -> None:
        """Subscribe to the answers; without that, requests are refused (ATT error 0xFD).

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        if not self._subscribed:
            await self._wire.subscribe(self._on_indicated)
            self._subscribed = True

    def _on_indicated(self, message: bytes) -> None:
        self.messages += 1
        self.size_bytes += len(message)
        self._on_answer(self._control)
        self._on_message(self._control, message)
        self._unread.append(message)
        self._arrived.set()

    async def write(self, request: bytes) -> None:
        """Write a request, and drop earlier messages, which cannot be the answer to it.

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        self._unread.clear()
        # Reported first: the answer may arrive before the write has returned.
        self._on_message(self._control, request)
        await self._wire.write(request)

    async def write_last(self, request: bytes) -> None:
        """Write a request whose answer is not waited for, before the link ends.

        Raises:
            LinkFault: the device refuses, does not answer, or is gone.
        """
        await self._wire.write(request)

    async def answer(self, fits: Callable[[bytes], bool] = lambda _: True) -> bytes:
        """Wait for the answer to the request, without a limit; ``subscribe`` must come first.

        Args:
            fits: whether a message is the answer; other messages are skipped.
        """
        assert self._subscribed, "subscribe() must be called before answer()"
        while True:
            while self._unread:
                if fits(value := self._unread.popleft()):
                    return value
            self._arrived.clear()
            await self._arrived.wait()

    async def ask(self, request: bytes, fits: Callable[[bytes], bool], timeout_s: float) -> bytes:
        """Write a request and return the answer; subscribe first if necessary.

        Args:
            request: what to write.
            fits: whether a message is the answer; other messages are skipped.
            timeout_s: for everything together.

        Raises:
            Silent: the device did not answer in time.
            LinkFault: the device refuses, does not answer, or is gone.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.subscribe()
                await self.write(request)
                return await self.answer(fits)
        except TimeoutError as error:
            raise Silent from error
