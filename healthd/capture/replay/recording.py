"""A capture in the order in which it is played: what each device did, link by link."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from healthd.capture.replay.observed import check, observed
from healthd.profiles.listing import Listed
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import (
    AdapterChanged,
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Service,
    Start,
    Subscribed,
    Written,
)

Request = Read | Subscribed
"""A request whose answer depends on nothing that the device was sent before."""

Event = Advertised | Notified
"""Something that a device sent by itself."""

# A phone's log may begin long before its first link. healthd starts this long before it.
_LEAD_S = 2.0


@dataclass(slots=True)
class RecordedLink:
    """One link.

    Attributes:
        connected: its beginning.
        services: what the device has; empty if the capture does not say.
        mtu: the ATT MTU.
        requests: reads and subscriptions, in order.
        writes: in order.
        events: notifications, and what the device advertised during the link.
        ended: its end; None if the capture ends before it.
        last_t: time of its last line.
    """

    connected: Connected
    services: tuple[Service, ...] = ()
    mtu: int = 23
    requests: list[Request] = field(default_factory=list[Request])
    writes: list[Written] = field(default_factory=list[Written])
    events: list[Event] = field(default_factory=list[Event])
    ended: Disconnected | None = None
    last_t: float = 0.0


Entry = Advertised | ConnectFailed | RecordedLink
"""What a device does next."""


@dataclass(slots=True)
class RecordedDevice:
    """What one device did.

    Attributes:
        address: as in the capture.
        name: the last name that it advertised; None if it is not known.
        services: UUIDs of the services that it advertised, or has.
        entries: in order.
    """

    address: str
    name: str | None = None
    services: tuple[str, ...] = ()
    entries: list[Entry] = field(default_factory=list[Entry])


@dataclass(frozen=True, slots=True)
class Recording:
    """A capture.

    Attributes:
        start: its first line.
        devices: by address, in upper case.
        adapter: changes of the adapter, in order.
        begin_t: where it is played from, in seconds after its first line.
        end_t: time of its last line.
    """

    start: Start
    devices: Mapping[str, RecordedDevice]
    adapter: tuple[AdapterChanged, ...]
    begin_t: float
    end_t: float

    @property
    def began(self) -> datetime:
        """The wall time at ``begin_t``."""
        return self.start.time + timedelta(seconds=self.begin_t)


def recording_of(lines: Iterable[Line], known: Iterable[Listed]) -> Recording:
    """Return a capture as it is played.

    Args:
        lines: of the file; the first one is its start.
        known: what healthd reads, for files without the services of a device.

    Raises:
        BadCapture: there is nothing in it that could be played.
    """
    reader = _Reader(tuple(known))
    for line in lines:
        check(line)
        reader.add(line)
    return reader.result()


class _Reader:
    def __init__(self, known: tuple[Listed, ...]) -> None:
        self._known = known
        self._start: Start | None = None
        self._devices: dict[str, RecordedDevice] = {}
        self._open: dict[int, RecordedLink] = {}
        self._of_device: dict[str, RecordedLink] = {}
        self._adapter: list[AdapterChanged] = []
        self._end_t = 0.0

    def add(self, line: Line) -> None:
        self._end_t = max(self._end_t, line.t)
        match line:
            case Start():
                self._start = line
            case AdapterChanged():
                self._adapter.append(line)
            case Advertised():
                self._advertised(line)
            case ConnectFailed():
                self._device(line.device).entries.append(line)
            case Connected():
                link = RecordedLink(line, last_t=line.t)
                self._open[line.link] = self._of_device[line.device.upper()] = link
                self._device(line.device).entries.append(link)
            case Discovered() | MtuAgreed() | Read() | Written() | Subscribed() | Notified():
                self._on_link(line)
            case Disconnected():
                if (link := self._open.pop(line.link, None)) is not None:
                    link.ended, link.last_t = line, line.t
                    self._of_device.pop(line.device.upper(), None)
            case _:
                pass

    def _device(self, address: str) -> RecordedDevice:
        return self._devices.setdefault(address.upper(), RecordedDevice(address.upper()))

    def _advertised(self, line: Advertised) -> None:
        device = self._device(line.device)
        device.name = line.name or device.name
        device.services = tuple(dict.fromkeys((*device.services, *line.services)))
        if (link := self._of_device.get(device.address)) is not None:
            link.events.append(line)
        else:
            device.entries.append(line)

    def _on_link(
        self, line: Discovered | MtuAgreed | Read | Written | Subscribed | Notified
    ) -> None:
        if (link := self._open.get(line.link)) is None:
            # A log that lacks the beginning of a link.
            connected = Connected(
                t=line.t, time=line.time, device=line.device, link=line.link, joined=True
            )
            self.add(connected)
            link = self._open[line.link]
        link.last_t = line.t
        match line:
            case Discovered():
                link.services = line.services
            case MtuAgreed():
                link.mtu = line.mtu
            case Read() | Subscribed():
                link.requests.append(line)
            case Written():
                link.writes.append(line)
            case Notified():
                link.events.append(line)

    def result(self) -> Recording:
        assert self._start is not None, "the codec refuses a capture without a start"
        for device in self._devices.values():
            _complete(device, self._known)
            if self._start.source != "healthd":
                _leave_out_early(device)
        firsts = [_time_of(each.entries[0]) for each in self._devices.values() if each.entries]
        if not firsts:
            raise BadCapture("capture", "no device in it advertises or has a link")
        begin_t = 0.0
        if self._start.source != "healthd":
            begin_t = max(0.0, min(firsts) - _LEAD_S)
        return Recording(self._start, self._devices, tuple(self._adapter), begin_t, self._end_t)


def _time_of(entry: Entry) -> float:
    return entry.connected.t if isinstance(entry, RecordedLink) else entry.t


def _complete(device: RecordedDevice, listed: tuple[Listed, ...]) -> None:
    """Give each link the services of the device, if only another link has them."""
    links = [entry for entry in device.entries if isinstance(entry, RecordedLink)]
    known = next((link.services for link in links if link.services), ())
    for link in links:
        link.services = known = link.services or known or observed(_lines_of(links), listed)
    device.services = device.services or tuple(service.uuid for service in known)


def _leave_out_early(device: RecordedDevice) -> None:
    """Leave out what another central heard long before it made a link.

    healthd makes a link as soon as it hears the device, and would wait for an answer.
    """
    kept: list[Entry] = []
    until_t: float | None = None
    for entry in reversed(device.entries):
        if isinstance(entry, Advertised):
            if until_t is not None and entry.t < until_t - _LEAD_S:
                continue
        else:
            until_t = _time_of(entry)
        kept.append(entry)
    device.entries = kept[::-1]


def _lines_of(links: Iterable[RecordedLink]) -> Iterator[Line]:
    for link in links:
        yield from link.requests
        yield from link.writes
        yield from link.events
