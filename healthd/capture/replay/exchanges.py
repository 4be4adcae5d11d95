"""Which captured request a request of healthd repeats, and what the device sent as an answer."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from healthd.capture.replay.recording import Event, RecordedLink, Request
from healthd.traffic.lines import Advertised, Notified, Read, Subscribed, Written


@dataclass(slots=True, eq=False)
class Exchange:
    """A captured write, and what the device sent because of it.

    Attributes:
        write: the write.
        service: handle of the service's declaration.
        answers: notifications of the same service until its next write, unless the characteristic
            was notified before the first write: then it is a stream.
        is_used: whether healthd has made the write, or will not make it any more.
    """

    write: Written
    service: int
    answers: list[Notified] = field(default_factory=list[Notified])
    is_used: bool = False

    @property
    def asked_t(self) -> float:
        """When the write was made. Its line stands where it was answered."""
        return self.write.t - (self.write.took_s or 0.0)


class Script:
    """What happened on one link, sorted by what brings it about.

    Attributes:
        free: what the device sent without having been asked, in order.
        exchanges: in order.
    """

    def __init__(self, link: RecordedLink) -> None:
        """Sort the lines of a link."""
        self._service_of = {
            each.handle: service.handle
            for service in link.services
            for each in service.characteristics
        }
        self.exchanges = sorted(
            (Exchange(line, self._service_of.get(line.handle, 0)) for line in link.writes),
            key=lambda exchange: exchange.asked_t,
        )
        self.free = self._divide(link.events)
        self._requests = _by_handle(link.requests)
        self._last: dict[tuple[type, int], Request] = {}

    def _divide(self, events: Iterable[Event]) -> list[Event]:
        """Give each answer to its exchange; return all other events."""
        by_service: dict[int, list[Exchange]] = {}
        for exchange in self.exchanges:
            by_service.setdefault(exchange.service, []).append(exchange)
        free: list[Event] = []
        streams: set[int] = set()
        for event in events:
            if isinstance(event, Advertised):
                free.append(event)
                continue
            mine = by_service.get(self._service_of.get(event.handle, 0), [])
            # No device answers in the microsecond of the request.
            number = bisect_left(mine, event.t, key=lambda exchange: exchange.asked_t)
            if number == 0:
                streams.add(event.handle)
            if number == 0 or event.handle in streams:
                free.append(event)
            else:
                mine[number - 1].answers.append(event)
        return free

    def request(self, kind: type[Read] | type[Subscribed], handle: int) -> Request | None:
        """Return the captured request that healthd makes now: the next one, or the last again."""
        waiting = self._requests.get((kind, handle))
        if waiting:
            self._last[kind, handle] = waiting.pop(0)
        return self._last.get((kind, handle))

    def exchange(self, handle: int, value: bytes) -> Exchange | None:
        """Return the captured exchange that is most similar to a write; None if none is.

        The times of a clock differ from day to day, and secret values are not in the capture. So
        the values need not be equal: a value of the same length, or with the same first byte,
        which is the operation of nearly all control points, is enough.
        """
        here = [exchange for exchange in self.exchanges if exchange.write.handle == handle]
        unused = [exchange for exchange in here if not exchange.is_used]
        for candidates in (unused, here[::-1]):
            # max returns the first one of several.
            best = max(candidates, key=lambda each: _similarity(each, value), default=None)
            if best is not None and _similarity(best, value) > 0:
                return best
        return None


def _similarity(exchange: Exchange, value: bytes) -> int:
    captured = exchange.write.value
    if captured is None:
        return 1
    if captured == value:
        return 3
    if captured[:1] == value[:1]:
        return 2
    return int(len(captured) == len(value) > 1)


def _by_handle(requests: Iterable[Request]) -> Mapping[tuple[type, int], list[Request]]:
    found: dict[tuple[type, int], list[Request]] = {}
    for line in requests:
        if not (isinstance(line, Subscribed) and line.mode == "off"):
            found.setdefault((type(line), line.handle), []).append(line)
    return found
