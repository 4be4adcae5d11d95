"""Requests of other programs over MQTT: checked, carried out, and answered once each."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from healthd.host.clock import Clock
from healthd.log import get_logger
from healthd.mqtt.age import check_age
from healthd.mqtt.arrivals import Message
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.replies import Reply, ReplyTopics
from healthd.mqtt.responses import PublishResponse, Responses
from healthd.mqtt.stop_line import StopLine
from healthd.mqtt.stops import Stops, Waiting
from healthd.mqtt.topics import Topics
from healthd.verbs import (
    BUG,
    REQUESTS,
    STOPS,
    Control,
    Handler,
    Request,
    RequestRefused,
    fields_of,
    request_of,
    short_json,
)

# Requests at a time that may take long: fetches from every peripheral, and a scan.
_MOST_AT_A_TIME = 16

# In addition to those: a machine is stopped however many other requests are waiting. There are two
# for each machine, and a flood of requests to stop machines that do not exist.
_MOST_STOPS = 256

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
        clock: Clock,
    ) -> None:
        """Wire it.

        Args:
            topics: of this gateway.
            handlers: by verb.
            allowed: the verbs that the settings allow.
            publish: publishes a response.
            clock: says how old a request is that has a time.
        """
        self.replies = ReplyTopics(topics)
        self._topics = topics
        self._handlers = handlers
        self.allowed = allowed
        self._responses = Responses(publish)
        self._line: StopLine | None = None
        self._line_responses = self._responses
        self._stops = Stops()
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        # The topics at which a broker may keep a request; it never keeps one without a payload.
        self._maybe_kept: set[str] = set()
        self._log = get_logger(service="requests")

    def open_line(self, inbox: Inbox) -> StopLine:
        """Return a connection for requests to stop and release, which its caller has to run."""

        def on_change() -> None:
            self._stops.forget_arrivals()
            inbox.renew()

        self._line = line = StopLine(self._on_line, on_change)
        self._line_responses = Responses(line.publish)
        self._subscribe_line()
        return line

    def subscribe(self, inbox: Inbox) -> None:
        """Subscribe to requests if any verb is allowed."""
        if self.allowed:
            inbox.subscribe(
                self._topics.requests,
                self.on_message,
                self._responses.room,
                one_by_one=self._topics_of_allowed,
                timed=self._has_an_age,
                on_flood=self._refuse_flood,
                urgent=self._urgent_topics,
            )

    def allow(self, allowed: Collection[str], inbox: Inbox) -> None:
        """Accept only these verbs from now on; without any, unsubscribe."""
        if self.allowed and not allowed:
            inbox.unsubscribe(self._topics.requests, self.on_message)
        starts, self.allowed = not self.allowed, allowed
        self._subscribe_line()
        if starts:
            self.subscribe(inbox)
        else:
            inbox.renew()

    def _subscribe_line(self) -> None:
        if self._line is not None:
            self._line.subscribe_to(self._topics_of_stops())

    def _topics_of_stops(self) -> list[str]:
        return [self._topics.request(verb) for verb in self.allowed if verb in STOPS]

    def _topics_of_allowed(self) -> list[str]:
        return [self._topics.request(verb) for verb in self.allowed]

    def _has_an_age(self) -> bool:
        """Whether a request that is allowed must not be carried out late."""
        models = (REQUESTS[verb] for verb in self.allowed)
        return any(issubclass(model, Control) and not model.always for model in models)

    def on_message(self, message: Message) -> None:
        """Check a request and start its handler; answer a wrong request at once."""
        self._receive(message, self._responses, over_line=False)

    def _refuse_flood(self, message: Message) -> None:
        """Answer one request of a flood."""
        reply, _ = self.replies.reply_to(message, None)
        self._responses.send(reply, reply.error("too many requests; healthd accepts none for now"))

    def _urgent_topics(self) -> list[str]:
        if self._line is not None and self._line.is_up:
            return []
        return self._topics_of_stops()

    def _on_line(self, message: Message) -> None:
        self._receive(message, self._line_responses, over_line=True)

    def _receive(self, message: Message, responses: Responses, *, over_line: bool) -> None:
        verb = message.topic.rpartition("/")[2]
        has_line = verb in STOPS and self._line is not None and self._line.is_up
        if has_line and self._stops.is_second(message, over_line=over_line):
            return
        if self._is_removal(message):
            return
        unreadable = None
        try:
            fields = fields_of(message.payload)
        except RequestRefused as refusal:
            fields, unreadable = {}, refusal
        reply, forbidden = self.replies.reply_to(message, fields.get("transaction"))
        try:
            # A machine is stopped even if its sender cannot have the response where it wants it.
            if forbidden is not None and verb not in STOPS:
                raise forbidden
            self._check_allowed(message, verb)
            if unreadable is not None:
                raise unreadable
            request = request_of(verb, fields)
            check_age(request, message, self._clock.now())
            self._check_order(request, message, over_line=over_line)
        except RequestRefused as refusal:
            self._log.debug("refused", verb=verb, error=str(refusal))
            responses.send(reply, reply.error(str(refusal)))
        else:
            self._start(verb, request, Waiting(responses, reply))

    def _check_order(self, request: Request, message: Message, *, over_line: bool) -> None:
        """Refuse a request that was sent before a stop which came first, over the line."""
        if not isinstance(request, Control):
            return
        if over_line:
            self._stops.note_overtaking(message, request.peripheral)
        elif not request.always and self._stops.is_overtaken(message, request.peripheral):
            raise RequestRefused("it was sent before a request to stop; send it again")

    def _start(self, verb: str, request: Request, waiting: Waiting) -> None:
        waiting_too = [waiting]
        if isinstance(request, Control):
            if request.always:
                joined = self._stops.join(request, waiting)
                if joined is None:
                    return
                waiting_too = joined
            else:
                self._stops.moves(request.peripheral)
        carrying_out = self._carry_out(verb, request, waiting_too)
        task = asyncio.create_task(carrying_out, name=f"mqtt request {verb}")
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
        most = _MOST_AT_A_TIME + (_MOST_STOPS if verb in STOPS else 0)
        if len(self._tasks) >= most:
            raise RequestRefused(f"too many requests at a time: {most} are in progress")

    async def _carry_out(self, verb: str, request: Request, waiting: list[Waiting]) -> None:
        data: Mapping[str, Any] = {}
        error: str | None = None
        try:
            data = await self._handlers[verb](request)
        except RequestRefused as refusal:
            error = str(refusal)
        except (Exception, asyncio.CancelledError) as fault:
            error = self._failure(fault)
        if isinstance(request, Control):
            self._stops.done(request, waiting)
        for responses, reply in waiting:
            responses.send(reply, self._response(reply, data, error))

    def _response(self, reply: Reply, data: Mapping[str, Any], error: str | None) -> bytes:
        if error is not None:
            return reply.error(error)
        try:
            return reply.ok(data)
        except Exception as fault:
            return reply.error(self._failure(fault))

    def _failure(self, fault: BaseException) -> str:
        if self._stopping and isinstance(fault, asyncio.CancelledError):
            return _STOPPING
        # A bug that a request triggers must not affect other requests.
        self._log.error("crashed", exc_info=fault)
        return BUG
