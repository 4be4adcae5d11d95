"""What a dialogue asks a device: over which control points, and how long it waits for answers."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from healthd.central.faults import LinkFault
from healthd.profiles.dialogue import Dialogue, NoAnswer, Request
from healthd.sessions.control_point import ControlPoint, ControlPoints, Silent
from healthd.sessions.values import Heard
from healthd.supervision.deadline import timeout, timeout_at

# The timeout of an ATT transaction, and of the services' procedures. It starts again with every
# value of the profile: a glucose meter answers only after it has sent all its records.
ANSWER_S = 30.0

# A transfer of more values, or for longer, has no end: records have numbers of 16 bits, and each
# may have a context. A sensor that measures every minute for 14 days sends 20,000 in half an hour.
# Files of makers are fetched in thousands of requests; ten nights of an oximeter are some 720 kB,
# and a flash memory of 16 MiB is the largest that such a device has.
_MOST_VALUES = 2 * 65_536
_LONGEST_S = 3600.0
MOST_BYTES = 16 * 2**20


class Endless(Exception):
    """The device sends values, or answers requests, without an end."""


class Patience:
    """How long a control point of a service may take: as long as values of its profile arrive."""

    def __init__(self, values: Heard, uuids: Sequence[str]) -> None:
        """Prepare.

        Args:
            values: what each subscribed characteristic has sent; read at any time.
            uuids: the characteristics of the profile.
        """
        self._values = values
        self._uuids = uuids

    async def answer(self, point: ControlPoint, asked_at: float, before: int) -> bytes:
        """Wait for the answer to a request.

        Args:
            point: the control point that it was written to.
            asked_at: when, by the monotonic clock.
            before: how many values the profile's characteristics had sent by then.

        Raises:
            Silent: neither an answer nor a value has come for too long.
            Endless: too many values have come, or for too long.
        """

        def end() -> float:
            values = [self._values.heard.get(uuid, asked_at) for uuid in self._uuids]
            return max(asked_at, *values) + ANSWER_S

        while True:
            try:
                async with timeout_at(min(end(), asked_at + _LONGEST_S)):
                    return await point.answer()
            except TimeoutError:
                if end() <= time.monotonic():
                    raise Silent(f"no answer within {ANSWER_S:.0f} s") from None
            is_long = time.monotonic() >= asked_at + _LONGEST_S
            if is_long or self.received - before > _MOST_VALUES:
                raise Endless

    @property
    def received(self) -> int:
        """How many values the profile's characteristics have sent."""
        return sum(self._values.received[uuid] for uuid in self._uuids)


class Conversation:
    """Makes the requests of one dialogue; as a context, it holds its control points."""

    def __init__(
        self,
        points: ControlPoints,
        control: str,
        patience: Patience,
        *,
        answers: bool = True,
        excused: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            points: the device's control points.
            control: the one of all requests that do not name another one.
            patience: of control points without a channel.
            answers: whether requests that are only bytes are answered.
            excused: an ATT error of a write that does not count.
        """
        self._points = points
        self._control = control
        self._patience = patience
        self._answers = answers
        self._excused = excused
        self._turns = AsyncExitStack()
        self._held: dict[ControlPoint, tuple[int, int]] = {}
        self._began_at = time.monotonic()

    async def __aenter__(self) -> Self:
        """Wait for the turn of the control point."""
        await self._hold(self._control)
        self._began_at = time.monotonic()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others use the control points."""
        await self._turns.aclose()

    async def ask(self, asked: bytes | Request) -> bytes:
        """Make a request; return the answer, or empty bytes if none is due.

        Raises:
            NoAnswer: none of its tries was answered, or the device lacks the control point.
            Silent: a control point without a channel did not answer.
            Endless: the dialogue takes too long or too much.
            LinkFault: the device refuses, does not answer the write, or is gone.
        """
        request = asked if isinstance(asked, Request) else Request(asked, answers=self._answers)
        control = request.control or self._control
        if not self._points.has(control):
            raise NoAnswer(f"the device has no {control}")
        point = await self._hold(control)
        if request.answers:
            await point.subscribe()
        if not request.data:
            return b""
        if point.channel is not None or request.answer_s or request.tries:
            return await self._ask_in_tries(point, request)
        asked_at, before = time.monotonic(), self._patience.received
        await self._write(point, request.data)
        return await self._patience.answer(point, asked_at, before) if request.answers else b""

    async def _ask_in_tries(self, point: ControlPoint, request: Request) -> bytes:
        channel = point.channel
        answer_s = request.answer_s or (ANSWER_S if channel is None else channel.answer_s)
        tries = request.tries or (1 if channel is None else channel.tries)
        fits = None if channel is None else partial(channel.answers, request.data)
        for _ in range(tries if request.answers else 1):
            self._check_end()
            await self._write(point, request.data)
            if not request.answers:
                return b""
            try:
                async with timeout(answer_s):
                    return await (point.answer() if fits is None else point.answer(fits))
            except TimeoutError:
                continue
        raise NoAnswer(f"no answer within {answer_s:g} s, asked {tries} times")

    async def _write(self, point: ControlPoint, data: bytes) -> None:
        try:
            await point.write(data)
        except LinkFault as fault:
            if fault.att_error is None or fault.att_error != self._excused:
                raise

    async def _hold(self, control: str) -> ControlPoint:
        """Wait for the turn of a control point; it is held until the conversation ends."""
        point = self._points.of(control)
        if point not in self._held:
            await self._turns.enter_async_context(point.turn())
            self._held[point] = point.messages, point.size_bytes
        return point

    def _check_end(self) -> None:
        messages = sum(point.messages - before for point, (before, _) in self._held.items())
        size = sum(point.size_bytes - before for point, (_, before) in self._held.items())
        is_long = time.monotonic() >= self._began_at + _LONGEST_S
        if is_long or messages > _MOST_VALUES or size > MOST_BYTES:
            raise Endless


async def converse(
    dialogue: Dialogue,
    request: bytes | Request,
    ask: Callable[[bytes | Request], Awaitable[bytes]],
) -> None:
    """Make the requests of a dialogue until it ends.

    Args:
        dialogue: yields the requests.
        request: the first one, which it has already yielded.
        ask: makes one.

    Raises:
        NoAnswer: a request was not answered, and the dialogue does not go on without the answer.
        Exception: what ``ask`` or the dialogue raise.
    """
    try:
        while True:
            try:
                answer = await ask(request)
            except NoAnswer as silence:
                request = dialogue.throw(silence)
            else:
                request = dialogue.send(answer)
    except StopIteration:
        return
