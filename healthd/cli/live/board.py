"""What was seen of gateways, their peripherals and their streams, however it is shown."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from healthd.cli.live.stream import Ids, Moment, Stream, seconds_since
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import Place, place_of

_PRESENCE = {b"online": True, b"offline": False}


@dataclass(slots=True)
class Peripheral:
    """One peripheral.

    Attributes:
        online: what its status says; None: nothing yet.
        info: what is known of it and of its link.
        streams: by name.
    """

    online: bool | None = None
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])


@dataclass(slots=True)
class Gateway:
    """One gateway.

    Attributes:
        online: what its status says; None: nothing yet.
        peripherals: by id.
    """

    online: bool | None = None
    peripherals: dict[str, Peripheral] = field(default_factory=dict[str, Peripheral])
    _gaps: Ids = field(default_factory=Ids)

    def peripheral(self, name: str) -> Peripheral:
        """The peripheral with this id."""
        return self.peripherals.setdefault(name, Peripheral())

    def state(self, name: str) -> tuple[str, str]:
        """How a peripheral is, in a word, and why; each empty where it is not known."""
        one = self.peripherals[name]
        if self.online is False:
            # Its devices' own topics keep what the gateway said last.
            return "offline", "gateway"
        if isinstance(state := one.info.get("state"), str):
            reason = one.info.get("reason", "")
            return state, reason if isinstance(reason, str) else ""
        return {True: "online", False: "offline", None: ""}[one.online], ""

    def due_in_s(self, name: str, now: Moment) -> float | None:
        """How soon a periodic peripheral is fetched; None where that is not known."""
        match self.peripherals[name].info:
            case {"fetch": {"next_due": str(due)}}:
                passed_s = seconds_since(due, now)
                return None if passed_s is None else max(0.0, -passed_s)
            case _:
                return None

    def add_gap(self, gap: dict[str, Any]) -> None:
        """A gap was told."""
        name, stream = gap.get("peripheral"), gap.get("stream")
        if isinstance(name, str) and isinstance(stream, str) and self._gaps.is_new(gap):
            one = self.peripheral(name).streams.setdefault(stream, Stream())
            one.gaps += 1
            one.gap_reason = str(gap.get("reason", ""))


class Board:
    """Everything that was seen at one broker; its memory does not grow with time."""

    def __init__(self, prefix: str, results: Collection[str] = ()) -> None:
        """Start with nothing.

        Args:
            prefix: first level or levels of the topics.
            results: the streams that the broker keeps for later subscribers: how old one is tells
                its time, not its arrival.
        """
        self.gateways: dict[str, Gateway] = {}
        self._prefix = prefix
        self._results = results

    def add_message(self, message: Message, now: Moment) -> None:
        """A message arrived; whatever it holds, it is survived."""
        place = place_of(message.topic, self._prefix)
        if place is None:
            return
        if not message.payload:
            self._forget(place)
            return
        gateway = self.gateways.setdefault(place.gateway, Gateway())
        if place.peripheral:
            self._take_of(gateway.peripheral(place.peripheral), place, message, now)
        elif place.stream == "status":
            gateway.online = _PRESENCE.get(message.payload)
        elif place.stream == "event/gap":
            gateway.add_gap(json_object(message.payload))

    def _take_of(self, one: Peripheral, place: Place, message: Message, now: Moment) -> None:
        if place.stream == "status":
            one.online = _PRESENCE.get(message.payload)
            return
        payload = json_object(message.payload)
        if place.stream == "info":
            one.info = payload
            return
        stream = one.streams.setdefault(place.stream, Stream())
        if place.history:
            stream.add_history(payload)
        else:
            result = place.stream in self._results
            stream.add(payload, now, retained=message.retained, result=result)

    def _forget(self, place: Place) -> None:
        """A retained topic was cleared: whoever has no status any more is gone."""
        if place.stream != "status":
            return
        if not place.peripheral:
            self.gateways.pop(place.gateway, None)
        elif (gateway := self.gateways.get(place.gateway)) is not None:
            gateway.peripherals.pop(place.peripheral, None)


def json_object(payload: bytes) -> dict[str, Any]:
    """The JSON object that a payload is; empty where it is none."""
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
