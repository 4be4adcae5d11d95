"""The state of gateways, peripherals and streams as seen on a broker, independent of display."""

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from healthd.cli.live.payload import json_object
from healthd.cli.live.stream import Ids, Moment, Stream, seconds_since
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import Place, place_of

_PRESENCE = {b"online": True, b"offline": False}

# Gateways, peripherals and streams together. Any client of the broker can publish any number of
# topics; a large installation (eight gateways with eight peripherals of five streams) has 400.
MAX_ENTRIES = 500

# Ids have at most 64 characters, and the longest stream names 30.
_LONGEST_TOPIC = 512

# A frame with hundreds of values has some kilobytes.
_LONGEST_PAYLOAD = 32 * 1024

# Of the newest payloads together, as JSON; in memory they take up to thirty times as much. An
# installation with 400 entries has some hundred kilobytes.
MAX_KEPT_BYTES = 2 * 1024 * 1024

# A sample has at most some 40 keys; more cannot be shown.
_MOST_KEYS = 64


@dataclass(slots=True)
class Peripheral:
    """One peripheral.

    Attributes:
        online: its status; None if not received yet.
        info: its info payload, about the device and its link.
        streams: its streams by name.
        kept_bytes: the size of the info payload.
    """

    online: bool | None = None
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    kept_bytes: int = 0


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

    def is_new_gap(self, gap: dict[str, Any]) -> bool:
        """Return whether this gap has not been counted yet, and remember it."""
        return self._gaps.is_new(gap)


_Entry = TypeVar("_Entry", Gateway, Peripheral, Stream)


class Board:
    """Everything seen on one broker; neither time nor other clients make it grow without end.

    Attributes:
        gateways: by id.
        unreadable: how many messages had a payload or a topic that is not healthd's.
        left_out: how many messages were not kept, because there was no more room.
    """

    def __init__(self, prefix: str, results: Collection[str] = ()) -> None:
        """Start empty.

        Args:
            prefix: first level or levels of the topics.
            results: the names of retained streams: a sample's age follows from its own time, not
                from its arrival.
        """
        self.gateways: dict[str, Gateway] = {}
        self.unreadable = 0
        self.left_out = 0
        self._entries = 0
        self._kept_bytes = 0
        self._prefix = prefix
        self._results = results

    def add_message(self, message: Message, now: Moment) -> None:
        """Handle a message; any content is accepted."""
        place = place_of(message.topic, self._prefix)
        if place is None:
            return
        if len(message.topic) > _LONGEST_TOPIC:
            self.unreadable += 1
            return
        if not message.payload:
            self._forget(place)
            return
        gateway = self._entry(self.gateways, place.gateway, Gateway)
        if gateway is None:
            return
        if place.peripheral:
            peripheral = self._entry(gateway.peripherals, place.peripheral, Peripheral)
            if peripheral is not None:
                self._add_of_peripheral(peripheral, place, message, now)
        elif place.stream == "status":
            gateway.online = _PRESENCE.get(message.payload)
        elif place.stream == "event/gap" and (gap := self._values(message)) is not None:
            self._add_gap(gateway, gap)

    def _add_of_peripheral(
        self, peripheral: Peripheral, place: Place, message: Message, now: Moment
    ) -> None:
        if place.stream == "status":
            peripheral.online = _PRESENCE.get(message.payload)
            return
        values = self._values(message)
        if values is None:
            return
        if place.stream == "info":
            if self._has_room(peripheral, message):
                peripheral.info = values
            return
        stream = self._entry(peripheral.streams, place.stream, Stream)
        if stream is None:
            return
        if place.history:
            stream.add_history(values)
        elif self._has_room(stream, message):
            result = place.stream in self._results
            stream.add(values, now, retained=message.retained, result=result)

    def _add_gap(self, gateway: Gateway, gap: dict[str, Any]) -> None:
        """Count a gap from ``event/gap``."""
        match gap:
            case {"peripheral": str(name), "stream": str(kind)} if gateway.is_new_gap(gap):
                if len(name) + len(kind) > _LONGEST_TOPIC:
                    self.unreadable += 1
                    return
                peripheral = self._entry(gateway.peripherals, name, Peripheral)
                if peripheral is None or not (
                    affected := self._entry(peripheral.streams, kind, Stream)
                ):
                    return
                affected.gaps += 1
                affected.gap_reason = str(gap.get("reason", ""))
            case _:
                pass

    def _values(self, message: Message) -> dict[str, Any] | None:
        """Return what a payload says, within bounds; count it if it says nothing."""
        values = json_object(message.payload, _LONGEST_PAYLOAD)
        if values is None:
            self.unreadable += 1
            return None
        return dict(islice(values.items(), _MOST_KEYS))

    def _has_room(self, keeper: Peripheral | Stream, message: Message) -> bool:
        """Whether the payload can replace what an entry keeps; count it if it cannot."""
        more = len(message.payload) - keeper.kept_bytes
        if self._kept_bytes + more > MAX_KEPT_BYTES:
            self.left_out += 1
            return False
        self._kept_bytes += more
        keeper.kept_bytes = len(message.payload)
        return True

    def _entry(self, entries: dict[str, _Entry], name: str, make: type[_Entry]) -> _Entry | None:
        """Return an entry, a new one if there is room; None, and count it, if there is none."""
        if (entry := entries.get(name)) is None:
            if self._entries >= MAX_ENTRIES:
                self.left_out += 1
                return None
            entry = entries[name] = make()
            self._entries += 1
        return entry

    def _forget(self, place: Place) -> None:
        """Remove a gateway or peripheral whose retained status was cleared."""
        if place.stream != "status":
            return
        if not place.peripheral:
            self.gateways.pop(place.gateway, None)
        elif (gateway := self.gateways.get(place.gateway)) is not None:
            gateway.peripherals.pop(place.peripheral, None)
        peripherals = [each for one in self.gateways.values() for each in one.peripherals.values()]
        streams = [each for one in peripherals for each in one.streams.values()]
        self._entries = len(self.gateways) + len(peripherals) + len(streams)
        self._kept_bytes = sum(each.kept_bytes for each in (*peripherals, *streams))
