"""Where the response to a request goes, and what is in it."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from healthd.mqtt.arrivals import Message
from healthd.mqtt.payloads import Response
from healthd.mqtt.topics import Topics
from healthd.verbs import LONGEST_TRANSACTION, RequestRefused, short_json

# A response is hardly larger than its request, so that a broker that has carried the one carries
# the other. In bytes; a UUID has 16 or 36.
_LONGEST_CORRELATION = 128
_LONGEST_TOPIC = 256

# In characters: a few sentences. A gateway may have many peripherals to list.
_LONGEST_ERROR = 1000

# Its default: another Home Assistant may listen there.
_HOME_ASSISTANT = "homeassistant"

# Every broker accepts a topic that ends with one of these; NATS never acknowledges a topic with a
# space or a dot.
_VERB = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_VERB = "unknown"


class Reply(NamedTuple):
    """Where the response goes, and what it returns from the request."""

    topic: str
    correlation: bytes | None = None
    transaction: str | int | float | None = None

    def ok(self, data: Mapping[str, Any]) -> bytes:
        """Return the response to a request that was carried out."""
        return self._encoded({"status": "ok", "data": data})

    def error(self, text: str) -> bytes:
        """Return the response to a request that was refused or failed."""
        if len(text) > _LONGEST_ERROR:
            text = f"{text[:_LONGEST_ERROR]}…"
        return self._encoded({"status": "error", "error": text})

    def _encoded(self, fields: dict[str, Any]) -> bytes:
        if self.transaction is not None:
            fields["transaction"] = self.transaction
        return Response.of(fields).encoded()


class ReplyTopics:
    """The topics at which responses may be published."""

    def __init__(self, topics: Topics) -> None:
        """Allow the gateway's own topics of responses.

        A program that may only write requests must not make healthd publish where that program
        itself may not.
        """
        self._topics = topics
        self._own = topics.response("")
        self.allow((), None)

    def allow(self, others: Collection[str], discovery: str | None) -> None:
        """Allow topics below ``others``, too.

        Not those at which a response would look like a sample or a request of a gateway, or like a
        message to Home Assistant, whose discovery prefix is ``discovery``.
        """
        self._others = tuple(f"{each}/" for each in others)
        trees = {self._topics.prefix, _HOME_ASSISTANT, discovery or _HOME_ASSISTANT}
        self._forbidden = tuple(f"{each}/" for each in trees)

    def reply_to(
        self, message: Message, transaction: object
    ) -> tuple[Reply, RequestRefused | None]:
        """Return the reply to a request, and why its sender cannot have what it asks for."""
        verb = message.topic.rpartition("/")[2]
        default = self._topics.response(verb if _VERB.fullmatch(verb) else _NO_VERB)
        wanted, correlation = message.response_topic, message.correlation
        problems: list[str] = []
        if wanted is not None and (problem := self._problem(wanted)):
            problems.append(problem)
            wanted = None
        if correlation is not None and len(correlation) > _LONGEST_CORRELATION:
            problems.append(
                f"found {len(correlation)} bytes of correlation data, expected at most "
                f"{_LONGEST_CORRELATION}"
            )
            correlation = None
        reply = Reply(wanted or default, correlation, _returnable(transaction))
        return reply, RequestRefused("; ".join(problems)) if problems else None

    def _problem(self, wanted: str) -> str:
        found = f"found the response topic {short_json(wanted)}, expected"
        if len(wanted.encode()) > _LONGEST_TOPIC:
            return f"{found} one of at most {_LONGEST_TOPIC} bytes"
        if re.search(r"[+#]|^\$|//|^/|/$|^$", wanted) or not wanted.isprintable():
            return (
                f"{found} one of printable characters, without wildcards and empty levels, not "
                "beginning with $"
            )
        if wanted.startswith(self._own):
            return ""
        if wanted.startswith(self._others) and not f"{wanted}/".startswith(self._forbidden):
            return ""
        return f"{found} one below {' or '.join((self._own, *self._others))}"


def _returnable(transaction: object) -> str | int | float | None:
    """Return a request's transaction, even if the request is refused for another reason."""
    if isinstance(transaction, str):
        return transaction if len(transaction) <= LONGEST_TRANSACTION else None
    if isinstance(transaction, bool) or not isinstance(transaction, int | float):
        return None
    return transaction
