"""Requests of other programs over MQTT: checked, carried out, and answered once each."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from healthd.log import get_logger
from healthd.mqtt.arrivals import Message
from healthd.mqtt.faults import TOO_LARGE, PublishRefused, hint
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import Response
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
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

PublishResponse = Callable[[str, bytes, str, bytes | None], Acknowledgement | None]
"""Publishes a response: topic, payload, schema, correlation data; None: there is no connection."""

# In bytes. A request is a few numbers.
LONGEST_REQUEST = 4096

# Requests at a time that may take long: fetches from every peripheral, and a scan.
_MOST_AT_A_TIME = 16

# In addition to those: a machine is stopped however many other requests are waiting.
_MOST_STOPS = 16

# Unacknowledged responses before the next request is accepted: a fraction of the window of live
# samples, so that a flood of requests leaves room for them.
_WINDOW = 5

# Every broker accepts a topic that ends with one of these; NATS never acknowledges a topic with a
# space or a dot.
_VERB = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_VERB = "unknown"

_SCHEMA = f"{Response.kind}/{Response.schema_version}"
_STOPPING = "healthd is stopping"


class _Reply(NamedTuple):
    """Where the response goes, and what it returns from the request."""

    topic: str
    correlation: bytes | None
    transaction: str | int | float | None

    def ok(self, data: Mapping[str, Any]) -> bytes:
        """Return the response to a request that was carried out."""
        return self._encoded({"status": "ok", "data": data})

    def error(self, text: str) -> bytes:
        """Return the response to a request that was refused or failed."""
        return self._encoded({"status": "error", "error": text})

    def _encoded(self, fields: dict[str, Any]) -> bytes:
        if self.transaction is not None:
            fields["transaction"] = self.transaction
        return Response.of(fields).encoded()


class Requests:
    """Checks requests and passes them on to their handlers.

    Attributes:
        allowed: the verbs that are accepted.
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
        self._topics = topics
        self._handlers = handlers
        self.allowed = allowed
        self._publish = publish
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._unacknowledged = 0
        self._room = asyncio.Event()
        self._room.set()
        self._refused_topic = ""
        # The topics at which a broker may keep a request; it never keeps one without a payload.
        self._maybe_kept: set[str] = set()
        self._log = get_logger(service="requests")

    def subscribe(self, inbox: Inbox) -> None:
        """Subscribe to requests if any verb is allowed."""
        if self.allowed:
            inbox.subscribe(
                self._topics.requests,
                self.on_message,
                self._room.wait,
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
            fields = _fields(message)
        except RequestRefused as refusal:
            fields, unreadable = {}, refusal
        topic, forbidden = self._response_topic(verb, message.response_topic)
        reply = _Reply(topic, message.correlation, _transaction(fields))
        try:
            if forbidden is not None:
                raise forbidden
            self._check_allowed(message, verb)
            if unreadable is not None:
                raise unreadable
            request = request_of(verb, fields)
        except RequestRefused as refusal:
            self._log.debug("refused", verb=verb, error=str(refusal))
            self._respond(reply, reply.error(str(refusal)))
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

    def _response_topic(self, verb: str, wanted: str | None) -> tuple[str, RequestRefused | None]:
        """Return the topic of the response, and what is wrong with the requested one."""
        default = self._topics.response(verb if _VERB.fullmatch(verb) else _NO_VERB)
        if wanted is None:
            return default, None
        own, tree = self._topics.response(""), f"{self._topics.prefix}/"
        if re.search(r"[+#]|^$|^\$", wanted) or not wanted.isprintable():
            expected = "one of printable characters, without wildcards, not beginning with $"
        elif f"{wanted}/".startswith(tree) and not wanted.startswith(own):
            # The response would look like a sample or a request, of this gateway or another one.
            expected = f"one outside {tree} or below {own}"
        else:
            return wanted, None
        return default, RequestRefused(
            f"found the response topic {short_json(wanted)}, expected {expected}"
        )

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

    async def _carry_out(self, verb: str, request: Request, reply: _Reply) -> None:
        try:
            payload = reply.ok(await self._handlers[verb](request))
        except RequestRefused as refusal:
            payload = reply.error(str(refusal))
        except (Exception, asyncio.CancelledError) as error:
            payload = self._failure(reply, error)
        self._respond(reply, payload)

    def _failure(self, reply: _Reply, error: BaseException) -> bytes:
        if self._stopping and isinstance(error, asyncio.CancelledError):
            return reply.error(_STOPPING)
        # A bug that a request triggers must not affect other requests.
        self._log.error("crashed", exc_info=error)
        return reply.error(BUG)

    def _respond(self, reply: _Reply, payload: bytes) -> None:
        acknowledgement = self._publish(reply.topic, payload, _SCHEMA, reply.correlation)
        if acknowledgement is None:
            self._log.info("response dropped", reason="no connection")
            return
        self._unacknowledged += 1
        if self._unacknowledged >= _WINDOW:
            self._room.clear()
        acknowledgement.add_done_callback(lambda result: self._responded(reply, payload, result))

    def _responded(self, reply: _Reply, payload: bytes, result: Acknowledgement) -> None:
        self._unacknowledged -= 1
        if self._unacknowledged < _WINDOW:
            self._room.set()
        if result.cancelled():
            self._log.info("response dropped", reason="connection lost")
        elif error := result.exception():
            if reply.topic != self._refused_topic:
                # Logged once: the client will use the same topic again.
                self._refused_topic = reply.topic
                log = self._log.warning
                where = reply.topic
                log("response refused by the broker", topic=where, error=str(error), **hint(error))
            is_too_large = isinstance(error, PublishRefused) and error.code == TOO_LARGE
            if is_too_large and len(short := reply.error(str(error))) < len(payload):
                self._respond(reply, short)


def _fields(message: Message) -> dict[str, Any]:
    if len(message.payload) > LONGEST_REQUEST:
        raise RequestRefused(f"request is longer than {LONGEST_REQUEST} bytes")
    return fields_of(message.payload)


def _transaction(fields: Mapping[str, Any]) -> str | int | float | None:
    """Return a request's transaction, even if the request is refused for another reason."""
    given = fields.get("transaction")
    is_valid = isinstance(given, str | int | float) and not isinstance(given, bool)
    return given if is_valid else None
