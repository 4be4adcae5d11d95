"""The state of gateways, peripherals and streams as seen on a broker, independent of display."""

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
        online: its status; None if not received yet.
        info: its info payload, about the device and its link.
        streams: its streams by name.
    """

    online: bool | None = None
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])


@dataclass(slots=True)
class Gateway:
    """One gateway.

    Attributes:
        online: its status; None if not received yet.
        peripherals: its peripherals by id.
    """

    online: bool | None = None
    peripherals: dict[str, Peripheral] = field(default_factory=dict[str, Peripheral])
    _gaps: Ids = field(default_factory=Ids)

    def peripheral(self, name: str) -> Peripheral:
        """Return the peripheral with this id; create it if needed."""
        return self.peripherals.setdefault(name, Peripheral())

    def state(self, name: str) -> tuple[str, str]:
        """Return a peripheral's state in a word and the reason; empty if unknown."""
        peripheral = self.peripherals[name]
        if self.online is False:
            # The retained topics of its devices still hold their last state.
            return "offline", "gateway"
        if isinstance(state := peripheral.info.get("state"), str):
            reason = peripheral.info.get("reason", "")
            return state, reason if isinstance(reason, str) else ""
        return {True: "online", False: "offline", None: ""}[peripheral.online], ""

    def due_in_s(self, name: str, now: Moment) -> float | None:
        """Return in how many seconds a periodic peripheral is fetched; None if unknown."""
        match self.peripherals[name].info:
            case {"fetch": {"next_due": str(due)}}:
                passed_s = seconds_since(due, now)
                return None if passed_s is None else max(0.0, -passed_s)
            case _:
                return None

    def add_gap(self, gap: dict[str, Any]) -> None:
        """Count a gap from ``event/gap``."""
        name, stream = gap.get("peripheral"), gap.get("stream")
        if isinstance(name, str) and isinstance(stream, str) and self._gaps.is_new(gap):
            affected = self.peripheral(name).streams.setdefault(stream, Stream())
            affected.gaps += 1
            affected.gap_reason = str(gap.get("reason", ""))


class Board:
    """Everything seen on one broker; its memory use does not grow with time."""

    def __init__(self, prefix: str, results: Collection[str] = ()) -> None:
        """Start empty.

        Args:
            prefix: first level or levels of the topics.
            results: the names of retained streams: a sample's age follows from its own time, not
                from its arrival.
        """
        self.gateways: dict[str, Gateway] = {}
        self._prefix = prefix
        self._results = results

    def add_message(self, message: Message, now: Moment) -> None:
        """Handle a message; any content is accepted."""
        place = place_of(message.topic, self._prefix)
        if place is None:
            return
        if not message.payload:
            self._forget(place)
            return
        gateway = self.gateways.setdefault(place.gateway, Gateway())
        if place.peripheral:
            self._add_of_peripheral(gateway.peripheral(place.peripheral), place, message, now)
        elif place.stream == "status":
            gateway.online = _PRESENCE.get(message.payload)
        elif place.stream == "event/gap":
            gateway.add_gap(json_object(message.payload))

    def _add_of_peripheral(
        self, peripheral: Peripheral, place: Place, message: Message, now: Moment
    ) -> None:
        if place.stream == "status":
            peripheral.online = _PRESENCE.get(message.payload)
            return
        payload = json_object(message.payload)
        if place.stream == "info":
            peripheral.info = payload
            return
        stream = peripheral.streams.setdefault(place.stream, Stream())
        if place.history:
            stream.add_history(payload)
        else:
            result = place.stream in self._results
            stream.add(payload, now, retained=message.retained, result=result)

    def _forget(self, place: Place) -> None:
        """Remove a gateway or peripheral whose retained status was cleared."""
        if place.stream != "status":
            return
        if not place.peripheral:
            self.gateways.pop(place.gateway, None)
        elif (gateway := self.gateways.get(place.gateway)) is not None:
            gateway.peripherals.pop(place.peripheral, None)


def json_object(payload: bytes) -> dict[str, Any]:
    """Parse a payload as a JSON object; empty if it is anything else."""
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
