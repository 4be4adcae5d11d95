"""Lines of a capture to packets."""

from collections.abc import Iterator, Sequence

from healthd.capture.att import opcodes
from healthd.capture.writing import att
from healthd.capture.writing.advertising import reports
from healthd.capture.writing.discovery import discover, unknown_properties
from healthd.capture.writing.hci import (
    UNSPECIFIED_ERROR,
    Packet,
    acl,
    connection_complete,
    disconnection_complete,
)
from healthd.capture.writing.links import Link, Links, address_bytes
from healthd.capture.writing.unsaid import CannotSay, Unsaid
from healthd.traffic.lines import (
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)

_MODES = {"off": b"\x00\x00", "notify": b"\x01\x00", "indicate": b"\x02\x00"}

# The last moment that a pcap file can say, and a margin for what is added.
_LAST_US = (2**32 - 1) * 1_000_000

_GREATEST_CODE = 0xFF

_OnLink = Connected | Discovered | MtuAgreed | Read | Written | Subscribed | Notified | Disconnected
_Requested = Read | Written | Subscribed


class Translation:
    """Makes the packets of one capture.

    Their times are the time of the start plus ``t``, so they never go back.

    Attributes:
        unsaid: what has been left out so far.
    """

    def __init__(self, start: Start) -> None:
        """Begin at the first line."""
        self.unsaid = Unsaid()
        self._links = Links()
        self._start_us = round(start.time.timestamp() * 1_000_000)
        self._last_us = 0
        if start.system or start.healthd or start.peripheral:
            self.unsaid.note("versions and settings", start)

    def packets(self, line: Line) -> list[Packet]:
        """Return the packets of a line other than the start; none if no packet can say it."""
        try:
            return self._packets(line)
        except CannotSay as error:
            self.unsaid.note(str(error), line)
            return []

    def _packets(self, line: Line) -> list[Packet]:
        if isinstance(line, Advertised):
            at_us = self._time(line, line.t)
            events = list(reports(line, address_bytes(line.device)))
            return [Packet(at_us, False, event) for event in events]
        if isinstance(line, _OnLink):
            return [*self._opening(line), *self._on_link(line)]
        if isinstance(line, ConnectFailed):
            raise CannotSay("attempts to connect that failed")
        if line.what == "missing":
            raise CannotSay("that lines are missing")
        raise CannotSay("changes of the adapter or of the Bluetooth service")

    def _opening(self, line: _OnLink) -> list[Packet]:
        """Return the event of a new link, if it is one; a link may lack its first lines."""
        if self._links.get(line.link) is not None:
            if isinstance(line, Connected):
                raise CannotSay("links that begin twice")
            return []
        try:
            address = address_bytes(line.device)
        except CannotSay as error:
            self.unsaid.note(str(error), line)
            address = bytes(6)
        link = self._links.open(line.link)
        if not isinstance(line, Connected) or line.joined:
            self.unsaid.note("that a link existed before the capture began", line)
        at_us = self._time(line, line.t)
        return [Packet(at_us, False, connection_complete(link.handle, address))]

    def _on_link(self, line: _OnLink) -> list[Packet]:
        try:
            return self._said_on_link(line)
        except CannotSay as error:
            # Noted here, because the event of a new link stands before it.
            self.unsaid.note(str(error), line)
            return []

    def _said_on_link(self, line: _OnLink) -> list[Packet]:
        link = self._links.get(line.link)
        assert link is not None, "opened just before"
        if isinstance(line, Connected):
            if line.took_s is not None:
                self.unsaid.note("how long connecting took", line)
            return []
        if isinstance(line, Disconnected):
            self._links.end(line.link)
            reason = self._reason(line)
            at_us = self._time(line, line.t)
            return [Packet(at_us, False, disconnection_complete(link.handle, reason))]
        if isinstance(line, Discovered):
            pdus = self._discovery(line, link)
        elif isinstance(line, MtuAgreed):
            pdus = list(att.exchange_mtu(line.mtu))
            link.mtu = line.mtu
        elif isinstance(line, Notified):
            value = _fitting(line.value)
            pdus = list(att.notify(line.handle, value, confirmed=line.confirmed))
        else:
            pdus = list(_request(line, link))
            if isinstance(line, Written) and line.code and len(line.value or b"") > link.mtu - 3:
                self.unsaid.note("ends of long values whose writing was refused", line)
        return self._sent(line, link, pdus)

    def _discovery(self, line: Discovered, link: Link) -> Sequence[att.Pdu]:
        link.found(line.services)
        if unknown_properties(line.services):
            self.unsaid.note("properties that a declaration has no bit for", line)
        return list(discover(line.services, link.mtu))

    def _reason(self, line: Disconnected) -> int:
        if line.code is not None and 0 < line.code <= _GREATEST_CODE:
            return line.code
        self.unsaid.note("reasons of disconnections without a code of HCI", line)
        return UNSPECIFIED_ERROR

    def _sent(self, line: _OnLink, link: Link, pdus: Sequence[att.Pdu]) -> list[Packet]:
        """Return the packets of PDUs: the last at the time of the line, others at the request's."""
        packets: list[Packet] = []
        took_s = (line.took_s or 0.0) if isinstance(line, _Requested) else 0.0
        for number, pdu in enumerate(pdus, start=1):
            t = line.t if number == len(pdus) else max(0.0, line.t - took_s)
            packets.append(Packet(self._time(line, t), pdu.sent, acl(link.handle, pdu)))
        return packets

    def _time(self, line: Line, t: float) -> int:
        """Return the time of a packet; the packets of a file are in order."""
        wanted = self._start_us + round(min(t, _LAST_US / 1e6) * 1_000_000)
        self._last_us = time_us = min(max(wanted, self._last_us), _LAST_US)
        if time_us != wanted:
            self.unsaid.note("times of requests that other lines came between", line)
        return time_us


def _request(line: _Requested, link: Link) -> Iterator[att.Pdu]:
    code = _code(line)
    if isinstance(line, Subscribed):
        return att.write(link.cccd(line.handle), _MODES[line.mode], link.mtu, code)
    if isinstance(line, Read):
        if code is not None:
            return att.refused_read(line.handle, code)
        if line.value is None:
            raise CannotSay("values that the capture leaves out")
        return att.read(line.handle, _fitting(line.value), link.mtu)
    if line.value is None:
        raise CannotSay("values that the capture leaves out")
    value = _fitting(line.value)
    if line.response:
        return att.write(line.handle, value, link.mtu, code)
    if code is not None:
        raise CannotSay("refusals of writes without a response")
    return iter((att.ask(opcodes.WRITE_COMMAND, line.handle, value),))


def _code(line: _Requested) -> int | None:
    """Return the code of a refusal; None if there was none."""
    if line.error is None and line.code is None:
        return None
    if line.code is None or not 0 < line.code <= _GREATEST_CODE:
        raise CannotSay("errors of the Bluetooth stack without an ATT error code")
    return line.code


def _fitting(value: bytes) -> bytes:
    if len(value) > att.LONGEST_VALUE:
        raise CannotSay("values longer than a packet")
    return value
