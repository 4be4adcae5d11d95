"""What healthd measures in a capture: values decoded, joined and derived as on a link.

Only the values count: nothing is asked of the device, and nothing is published. The settings of
the peripheral are not used.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel, Characteristic, Framing, Use
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.text import clean
from healthd.profiles.reader import Reader, Undecoded
from healthd.profiles.registry import Registry
from healthd.sessions.plan import plan_for
from healthd.traffic.lines import (
    Advertised,
    Disconnected,
    Discovered,
    Line,
    Notified,
    Read,
    Service,
    Written,
)

_SECOND_NS = 1_000_000_000
_NOTIFIED = frozenset(("notify", "indicate"))


class Measured(NamedTuple):
    """A measurement of a capture.

    Attributes:
        t: when it was made, in seconds since the first line, to the microsecond; before the
            beginning if the device's memory is older.
        device: the address.
        kind: of the measurement.
        fact: True if it goes into the device's info and is not a sample.
        fields: keys and values, ready for JSON.
    """

    t: float
    device: str
    kind: str
    fact: bool
    fields: dict[str, Any]


def measurements(lines: Iterable[Line], registry: Registry) -> Iterator[Measured]:
    """Yield what healthd measures, in the order in which it would be published.

    Args:
        lines: of a capture.
        registry: what healthd reads.

    Raises:
        BadCapture, OSError: what the lines raise.
    """
    devices = _Devices(registry)
    for line in lines:
        yield from devices.take(line)
    yield from devices.end()


class _Services:
    """The services of a line, as ``plan_for`` asks for them."""

    def __init__(self, services: Iterable[Service]) -> None:
        known = [each for service in services for each in service.characteristics]
        self.services = frozenset(service.uuid for service in services)
        self.characteristics = frozenset(each.uuid for each in known)
        self._notified = {each.uuid for each in known if not _NOTIFIED.isdisjoint(each.properties)}

    def can_notify(self, uuid: str) -> bool:
        return uuid in self._notified


class _Source:
    """Anything that has a reader: a link, or a device that advertises."""

    def __init__(self, device: str, reader: Reader) -> None:
        self._device = device
        self._reader = reader
        self._framings: dict[str, Framing] = {}

    def value(self, characteristic: Characteristic, value: bytes, ns: int) -> Iterator[Measured]:
        yield from self.settle(ns)
        try:
            timed = self._reader.take(characteristic, value, ns)
        except DecodeError as error:
            if characteristic.use is not Use.CONTROL:
                fields = {"hex": value.hex(), "size_bytes": len(value), "error": str(error)}
                kind = f"{Undecoded.kind}/{characteristic.uuid}"
                yield Measured(_seconds(ns), self._device, kind, False, fields)
            return
        yield from self._measured(timed)

    def frames(
        self, channel: Channel, uuid: str, piece: bytes, uuids: frozenset[str]
    ) -> list[bytes]:
        """Return the frames that are whole with a piece."""
        framing = self._framings.setdefault(channel.writes[0], channel.framing(uuids))
        try:
            return list(framing.join(uuid, piece))
        except DecodeError:
            return []

    def settle(self, ns: int) -> Iterator[Measured]:
        while (due_ns := self._reader.due_ns) is not None and due_ns <= ns:
            yield from self._measured(self._reader.settle(due_ns))

    def end(self, ns: int) -> Iterator[Measured]:
        yield from self.settle(ns)
        yield from self._measured(self._reader.end())

    def _measured(self, found: Iterable[Timed]) -> Iterator[Measured]:
        for timed in found:
            made = timed.measurement
            t = _seconds(timed.mono_ns)
            yield Measured(t, self._device, made.kind, timed.fact, made.fields())


class _Devices:
    """All links and devices of a capture."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._names: dict[str, str] = {}
        self._links: dict[int, tuple[_Source, frozenset[str]]] = {}
        self._heard: dict[tuple[str, str], _Source] = {}
        self._ns = 0

    def take(self, line: Line) -> Iterator[Measured]:
        self._ns = ns = max(self._ns, round(line.t * _SECOND_NS))
        if isinstance(line, Advertised):
            yield from self._advertised(line, ns)
        elif isinstance(line, Discovered):
            yield from self._discovered(line, ns)
        elif isinstance(line, Notified | Read | Written):
            if line.link in self._links and line.uuid is not None and line.value is not None:
                yield from self._value(line, line.uuid, line.value, ns)
        elif isinstance(line, Disconnected) and line.link in self._links:
            source, _ = self._links.pop(line.link)
            yield from source.end(ns)

    def end(self) -> Iterator[Measured]:
        for source in (*(source for source, _ in self._links.values()), *self._heard.values()):
            yield from source.end(self._ns)

    def _advertised(self, line: Advertised, ns: int) -> Iterator[Measured]:
        if line.name:
            self._names[line.device] = clean(line.name)
        data = {f"service_data_{uuid}": value for uuid, value in line.service_data.items()}
        data |= {f"manufacturer_data_{key}": value for key, value in line.manufacturer_data.items()}
        for profile, broadcast, value in self._registry.broadcasts_in(data):
            key = line.device, profile.name
            if key not in self._heard:
                self._heard[key] = self._source(line.device, [profile.name], line.device)
            yield from self._heard[key].value(broadcast, value, ns)

    def _discovered(self, line: Discovered, ns: int) -> Iterator[Measured]:
        services = _Services(line.services)
        plan = plan_for(self._registry, services)
        if line.link in self._links:
            source, known = self._links[line.link]
            if known == services.characteristics:
                return
            yield from source.end(ns)
        names = [profile.name for profile in plan.profiles]
        source = self._source(line.device, names)
        self._links[line.link] = source, services.characteristics - plan.surplus

    def _source(self, device: str, profiles: list[str], address: str = "") -> _Source:
        name = self._names.get(device)
        return _Source(device, Reader(self._registry, Options(), name, profiles, address))

    def _value(
        self, line: Notified | Read | Written, uuid: str, value: bytes, ns: int
    ) -> Iterator[Measured]:
        source, uuids = self._links[line.link]
        if uuid not in uuids or (isinstance(line, Written) and line.code is not None):
            return
        try:
            characteristic = self._registry.source(uuid)
        except KeyError:
            return
        if characteristic.channel is not None:
            if isinstance(line, Notified):
                for frame in source.frames(characteristic.channel, uuid, value, uuids):
                    yield from source.value(characteristic, frame, ns)
        elif not isinstance(line, Written) or characteristic.use is Use.CONTROL:
            yield from source.value(characteristic, value, ns)


def _seconds(ns: int) -> float:
    return round(ns / _SECOND_NS, 6)
