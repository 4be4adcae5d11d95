"""Asks devices that measure only when they are asked, again and again."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from healthd.central.faults import LinkFault, LinkLost
from healthd.errors import DecodeError
from healthd.log import get_logger
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Polling, Request
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.sessions.control_point import ControlPoints, Silent
from healthd.sessions.conversation import MOST_BYTES, Conversation, Endless, Patience
from healthd.sessions.faults import NotificationStalled
from healthd.sessions.values import Explain, Heard

# How long a device without a silence deadline of its own may leave requests unanswered: as long as
# it may take to answer one of a service. At least three requests count.
_SILENCE_S, _REQUESTS = 30.0, 3

# Devices are asked for two or three kinds of values. A dialogue whose requests are all different
# would never begin again.
_MOST_IN_ROUND = 16


@dataclass(frozen=True, slots=True)
class _Polled:
    """A profile that is polled, and how."""

    profile: Profile
    polling: Polling


class Polls:
    """The polling of one link.

    Attributes:
        asks: whether a run that needs an answer is waiting for it.
        asked: whether a profile was polled with success.
        broke_off: whether the link ended while a poll was not answered.
    """

    def __init__(
        self,
        points: ControlPoints,
        peripheral: str,
        options: Options,
        values: Heard,
        explain: Explain,
    ) -> None:
        """Prepare; see ``Openings``."""
        self.asks = self.asked = self.broke_off = False
        self._points = points
        self._options = options
        self._values = values
        self._explain = explain
        self._due: list[_Polled] = []
        self._log = get_logger(peripheral=peripheral)

    @property
    def unfinished(self) -> bool:
        """Whether any profile that is polled has not answered yet."""
        return bool(self._due)

    def expect(self, profiles: Iterable[Profile]) -> None:
        """Note which profiles are to be polled: those of the device that measure on request."""
        self._due = [
            _Polled(profile, profile.polling)
            for profile in profiles
            if profile.polling is not None and self._points.has(profile.polling.control)
        ]

    async def run(self, silence_s: float | None, *, once: bool) -> None:
        """Poll the profiles until the link ends, or until each of them has answered.

        Args:
            silence_s: replaces the silence deadline of the control points.
            once: whether one round is all that is needed.

        Raises:
            LinkFault: the link ended, or polls were not answered for too long.
        """
        self.asks = once and bool(self._due)
        polls = [asyncio.create_task(self._poll(each, silence_s, once)) for each in self._due]
        try:
            await asyncio.gather(*polls)
        except LinkLost:
            self.broke_off = True
            raise
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)
        self.asks = False

    async def _poll(self, polled: _Polled, silence_s: float | None, once: bool) -> None:
        control = polled.polling.control
        own_s = self._points.of(control).silence_s
        usual_s = max(_SILENCE_S, _REQUESTS * polled.polling.every_s)
        poll = _Poll(polled, self._points, self._options, self._values)
        due, limit_s, logged = time.monotonic(), silence_s or own_s or usual_s, False
        while True:
            if (failure := await poll.make()) is not None:
                if not logged:
                    logged = True
                    await self._log_failure(polled.profile, failure)
                if (silent_s := poll.silent_s) >= limit_s:
                    is_fault = isinstance(failure, LinkFault)
                    raise failure if is_fault else NotificationStalled(control, silent_s)
            elif poll.is_round and once:
                break
            if not poll.is_next_at_once:
                due = max(due + polled.polling.every_s, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
        self.asked = True
        self._due.remove(polled)

    async def _log_failure(self, profile: Profile, failure: Exception) -> None:
        if isinstance(failure, LinkFault):
            failure = await self._explain(self._points.link.found, failure)
        reason = failure.reason if isinstance(failure, LinkFault) else "silent"
        if isinstance(failure, ExchangeRefused | DecodeError):
            reason = "refused" if isinstance(failure, ExchangeRefused) else "not_understood"
        self._log.warning("poll failed", profile=profile.name, reason=reason, error=str(failure))


class _Poll:
    """The requests of one profile."""

    def __init__(
        self, polled: _Polled, points: ControlPoints, options: Options, values: Heard
    ) -> None:
        self._polling = polled.polling
        self._points = points
        self._options = options
        uuids = [each.uuid for each in polled.profile.characteristics]
        self._patience = Patience(values, uuids)
        self._dialogue: Dialogue | None = None
        self._request: bytes | Request = b""
        self._is_answered = False
        self._answered: set[bytes | Request] = set()
        self._answered_at = time.monotonic()
        self.is_round = False

    @property
    def silent_s(self) -> float:
        """For how long no request was answered."""
        return time.monotonic() - self._answered_at

    @property
    def is_next_at_once(self) -> bool:
        """Whether the next request follows without a pause.

        That is so only if the last one was answered, and until the device has sent more than the
        largest memory holds.
        """
        is_at_once = isinstance(self._request, Request) and self._request.at_once
        received = self._points.of(self._polling.control).size_bytes
        may_follow = self._is_answered and received < MOST_BYTES
        return is_at_once and may_follow and self._dialogue is not None

    async def make(self) -> Exception | None:
        """Make the next request; return why the device did not answer it, if so.

        Raises:
            LinkLost: the link has ended.
        """
        try:
            if self._dialogue is None:
                self._begin()
            if self._dialogue is not None:
                return await self._ask(self._dialogue)
        except LinkLost:
            raise
        except (NoAnswer, Silent, Endless, ExchangeRefused, DecodeError, LinkFault) as failure:
            # It has ended by that; the next request is the first of a new one.
            self._dialogue = None
            return failure
        self.is_round = True  # there is nothing to ask
        return None

    def _begin(self) -> None:
        self._dialogue = dialogue = self._polling.exchange(self._options)
        self._go_on(partial(next, dialogue))

    async def _ask(self, dialogue: Dialogue) -> Exception | None:
        try:
            async with Conversation(
                self._points, self._polling.control, self._patience
            ) as conversation:
                answer = await conversation.ask(self._request)
        except NoAnswer as silence:
            self._is_answered = False
            self._go_on(partial(dialogue.throw, silence))
            return silence
        self._is_answered = True
        self._answered_at = time.monotonic()
        self._answered.add(self._request)
        self._go_on(partial(dialogue.send, answer))
        has_ended = self._dialogue is None or len(self._answered) >= _MOST_IN_ROUND
        self.is_round = has_ended or self._request in self._answered
        return None

    def _go_on(self, step: Callable[[], bytes | Request]) -> None:
        """Take the next request; a dialogue that has ended begins again."""
        try:
            self._request = step()
        except StopIteration:
            self._dialogue = None
