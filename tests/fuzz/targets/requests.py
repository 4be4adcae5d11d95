"""Requests over MQTT: any topic, properties and payload give at most one answer."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, get_args

import orjson

from healthd import verbs
from healthd.host.clock import Clock
from healthd.mqtt.arrivals import Message
from healthd.mqtt.requests import Requests
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk

_TOPICS = Topics("healthd", "g")


def _models() -> dict[str, type[verbs.Request]]:
    """Return the models of all requests, by verb."""
    found: dict[str, type[verbs.Request]] = {}
    waiting: list[type[verbs.Request]] = [verbs.Request]
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if "verb" in vars(model):
            found[model.verb] = model
    return found


_MODELS = _models()
_VERBS = sorted(_MODELS)


class Target(target.Target):
    """Verb, flags, response topic, correlation data, payload."""

    words: ClassVar = (
        *(f'"{key}":'.encode() for model in _MODELS.values() for key in model.model_fields),
        *(
            b'"transaction":',
            b"null",
            b"true",
            b"[]",
            b"{}",
            b"1e400",
            b"NaN",
            b"\\ud800",
            b"\xed\xa0\x80",
        ),
        *(
            b"healthd/g/response/x",
            b"healthd/g/request/",
            b"homeassistant/",
            b"#",
            b"+",
            b"$SYS",
            b"\0",
        ),
    )

    def __init__(self) -> None:
        """Use handlers that only take note."""
        self._runner = asyncio.Runner()
        self._clock = Clock()
        self._carried_out: list[verbs.Request] = []
        self._answers: list[tuple[str, bytes]] = []

    def seeds(self) -> Iterable[bytes]:
        """Yield a request of each verb."""
        for number, verb in enumerate(_VERBS):
            fields = {
                key: _example(field.annotation) for key, field in _MODELS[verb].model_fields.items()
            }
            head = bytes([number, 0]) + chunk("answers/x") + chunk(b"\1\2")
            yield head + orjson.dumps(fields)
            yield head + orjson.dumps({**fields, "transaction": "a"})
        yield bytes([0, 3]) + chunk("") + chunk(b"") + b"{}"

    def fuzz(self, data: bytes) -> None:
        """Send it; each request gets one answer, in JSON, at a topic that can be published to."""
        self._runner.run(self._send(data))

    async def _send(self, data: bytes) -> None:
        pieces = Pieces(data)
        number, flags = pieces.number(), pieces.number()
        verb = _VERBS[number] if number < len(_VERBS) else pieces.text()
        answer_to = pieces.text() if flags & 8 == 0 else None
        correlation = pieces.chunk() or None
        topic, retained = f"{_TOPICS.requests.removesuffix('+')}{verb}", bool(flags & 1)
        message = Message(topic, pieces.rest(), retained, answer_to, correlation, not flags & 2)
        handlers = dict.fromkeys(_VERBS, self._handle)
        requests = Requests(_TOPICS, handlers, _VERBS, self._publish, self._clock)
        self._carried_out.clear()
        self._answers.clear()
        requests.on_message(message)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await requests.end()
        is_removal = not message.payload and (retained or flags & 2)
        assert len(self._answers) == 1 or (is_removal and not self._answers)
        assert len(self._carried_out) <= 1
        assert not (retained and self._carried_out)
        for at, payload in self._answers:
            assert at
            assert not set("#+\0") & set(at)
            answer = orjson.loads(payload)
            assert answer["status"] in {"ok", "error"}
            assert answer.get("error") != verbs.BUG

    async def _handle(self, request: verbs.Request) -> Mapping[str, Any]:
        self._carried_out.append(request)
        return {}

    def _publish(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        self._answers.append((topic, payload))
        return None

    def __exit__(self, *exception: object) -> None:
        """Close the event loop."""
        self._runner.close()


def _example(annotation: Any) -> object:
    """Return a value for a field of this type."""
    kinds = {annotation, *get_args(annotation)}
    if kinds & {int, float}:
        return 10
    return "a" if str in kinds else None
