"""Requests of other programs over MQTT: checked, carried out, and answered once each."""

import asyncio
from collections.abc import Collection, Mapping

from healthd.log import get_logger
from healthd.mqtt.arrivals import Message
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.replies import Reply, ReplyTopics
from healthd.mqtt.responses import PublishResponse, Responses
from healthd.mqtt.topics import Topics
from healthd.verbs import (
    BUG,
    Handler,
    Request,
    RequestRefused,
    Stop,
    fields_of,
    request_of,
    short_json,
)

# Requests at a time that may take long: fetches from every peripheral, and a scan.
_MOST_AT_A_TIME = 16

# In addition to those: a machine is stopped however many other requests are waiting.
_MOST_STOPS = 16

_STOPPING = "healthd is stopping"


class Requests:
    """Checks requests and passes them on to their handlers.

    Attributes:
        allowed: the verbs that are accepted.
        replies: where responses may go.
    """

    def __init__(
        self,
        topics: Topics,
        handlers: Mapping[str, Handler],
        allowed: Collection[str],
        publish: PublishResponse,
    ) -> None:
        """Wire it.

        Args:
            topics: of this gateway.
            handlers: by verb.
            allowed: the verbs that the settings allow.
            publish: publishes a response.
        """
        self.replies = ReplyTopics(topics)
        self._topics = topics
        self._handlers = handlers
        self.allowed = allowed
        self._responses = Responses(publish)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        # The topics at which a broker may keep a request; it never keeps one without a payload.
        self._maybe_kept: set[str] = set()
        self._log = get_logger(service="requests")

    def subscribe(self, inbox: Inbox) -> None:
        """Subscribe to requests if any verb is allowed."""
        if self.allowed:
            inbox.subscribe(
                self._topics.requests,
                self.on_message,
                self._responses.room,
                one_by_one=self._topics_of_allowed,
            )

    def allow(self, allowed: Collection[str], inbox: Inbox) -> None:
        """Accept only these verbs from now on; without any, unsubscribe."""
        if self.allowed and not allowed:
            inbox.unsubscribe(self._topics.requests, self.on_message)
        starts, self.allowed = not self.allowed, allowed
        if starts:
            self.subscribe(inbox)
        else:
            inbox.renew()

    def _topics_of_allowed(self) -> list[str]:
        return [self._topics.request(verb) for verb in self.allowed]

    def on_message(self, message: Message) -> None:
        """Check a request and start its handler; answer a wrong request at once."""
        if self._is_removal(message):
            return
        verb = message.topic.rpartition("/")[2]
        unreadable = None
        try:
            fields = fields_of(message.payload)
        except RequestRefused as refusal:
            fields, unreadable = {}, refusal
        reply, forbidden = self.replies.reply_to(message, fields.get("transaction"))
        try:
            if forbidden is not None:
                raise forbidden
            self._check_allowed(message, verb)
            if unreadable is not None:
                raise unreadable
            request = request_of(verb, fields)
        except RequestRefused as refusal:
            self._log.debug("refused", verb=verb, error=str(refusal))
            self._responses.send(reply, reply.error(str(refusal)))
        else:
            task = asyncio.create_task(
                self._carry_out(verb, request, reply), name=f"mqtt request {verb}"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Refuse new requests and cancel the current ones, with an error as their response."""
        self._stopping = True
        await asyncio.sleep(0)  # a task that is cancelled before it starts could not respond
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_removal(self, message: Message) -> bool:
        """Return whether a message only makes the broker remove a request that it keeps."""
        may_be_kept = message.retained or not message.as_published
        if message.payload:
            # Bounded: others may publish at any number of topics.
            if may_be_kept and message.topic.rpartition("/")[2] in self._handlers:
                self._maybe_kept.add(message.topic)
            return False
        is_removal = message.retained or message.topic in self._maybe_kept
        self._maybe_kept.discard(message.topic)
        return is_removal

    def _check_allowed(self, message: Message, verb: str) -> None:
        """Refuse requests that are not accepted, whatever their keys are."""
        if self._stopping:
            raise RequestRefused(_STOPPING)
        if message.retained:
            # It would be carried out again on every connect.
            raise RequestRefused(
                "found a retained request, expected one without the retain flag; an empty retained "
                "message at its topic removes it"
            )
        if verb not in self._handlers:
            there = ", ".join(self._handlers)
            raise RequestRefused(f"found the verb {short_json(verb)}, expected one of {there}")
        if verb not in self.allowed:
            raise RequestRefused(
                f"found the verb {short_json(verb)}, expected one that [mqtt] requests allows "
                f"in this gateway's settings: {', '.join(self.allowed)}"
            )
        most = _MOST_AT_A_TIME + (_MOST_STOPS if verb == Stop.verb else 0)
        if len(self._tasks) >= most:
            raise RequestRefused(f"too many requests at a time: {most} are in progress")

    async def _carry_out(self, verb: str, request: Request, reply: Reply) -> None:
        try:
            payload = reply.ok(await self._handlers[verb](request))
        except RequestRefused as refusal:
            payload = reply.error(str(refusal))
        except (Exception, asyncio.CancelledError) as error:
            payload = self._failure(reply, error)
        self._responses.send(reply, payload)

    def _failure(self, reply: Reply, error: BaseException) -> bytes:
        if self._stopping and isinstance(error, asyncio.CancelledError):
            return reply.error(_STOPPING)
        # A bug that a request triggers must not affect other requests.
        self._log.error("crashed", exc_info=error)
        return reply.error(BUG)
