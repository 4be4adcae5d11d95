"""What one link says over ATT, request by request.

Layouts: Core Specification, Vol 3, Part F, section 3.4.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from healthd.capture.att.attributes import Attributes
from healthd.capture.att.discovery import DISCOVERIES, values_by_type
from healthd.capture.att.opcodes import (
    BLOB_ANSWER,
    BLOB_REQUEST,
    BY_TYPE_ANSWER,
    CONFIRMATION,
    ERROR,
    EXECUTE_ANSWER,
    EXECUTE_REQUEST,
    INDICATION,
    MTU_ANSWER,
    MTU_REQUEST,
    MULTIPLE_ANSWER,
    NOTIFICATION,
    PREPARE_ANSWER,
    PREPARE_REQUEST,
    READ_ANSWER,
    READ_REQUEST,
    SEVERAL,
    SIGNED_COMMAND,
    VARIABLE_ANSWER,
    WRITE_ANSWER,
    WRITE_COMMAND,
    WRITE_REQUEST,
)
from healthd.capture.codes import att_text
from healthd.capture.value import Stream, Value, moment
from healthd.traffic.lines import (
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Read,
    Subscribed,
    Written,
    at,
)

CHANNEL = 4
"""The channel of L2CAP that ATT uses on LE."""

_DEFAULT_MTU = 23
# The longest value of an attribute (Core Specification, Vol 3, Part F, section 3.2.9).
_LONGEST_VALUE = 512
_SIGNATURE = 12
# Values that are written together; in practice it is one.
_MOST_PREPARED = 16
# What a CCCD can hold; some centrals write one byte.
_CONFIGURATIONS = frozenset(bytes((bits,)) + rest for bits in range(4) for rest in (b"", b"\0"))
# A request fails after 30 s without an answer (section 3.3.3). If it seems to have taken much
# longer, the clock was set meanwhile.
_LONGEST_WAIT_US = 60_000_000

Event = Line | Value


class Times(NamedTuple):
    """When a packet was sent, as lines say it: see ``healthd.traffic.lines.at``."""

    micros: int
    start: int

    def fields(self) -> dict[str, Any]:
        """Return the arguments of a line."""
        return at((self.micros - self.start) / 1e6, moment(self.micros))


class _Request(NamedTuple):
    """A request that waits for its answer.

    Attributes:
        opcode: what it is.
        micros: when it was sent.
        handle: of the attribute; 0 if it is about several.
        data: what follows the opcode.
    """

    opcode: int
    micros: int
    handle: int
    data: bytes


class Dialogue:
    """Follows the requests of one link, and the values that the device sends by itself.

    Attributes:
        notified: UUIDs by handle for values that need nothing but their UUID; empty as long as
            something is to be said before the next value.
    """

    def __init__(self, device: str, link: int, attributes: Attributes) -> None:
        """Start at the beginning of a link."""
        self._device = device
        self._link = link
        self._attributes = attributes
        self._mtu = _DEFAULT_MTU
        self._offered = _DEFAULT_MTU
        self._request: _Request | None = None
        self._long: tuple[_Request, bytearray] | None = None
        self._prepared: dict[int, bytearray] = {}
        self._said = -1
        self._answers: dict[int, Callable[[Times, _Request, bytes], Iterator[Event]]] = {
            MTU_ANSWER: self._on_mtu,
            BY_TYPE_ANSWER: self._on_by_type,
            READ_ANSWER: self._on_read,
            BLOB_ANSWER: self._on_blob,
            MULTIPLE_ANSWER: self._on_multiple,
            WRITE_ANSWER: self._on_write,
            PREPARE_ANSWER: self._on_prepare,
            EXECUTE_ANSWER: self._on_execute,
            VARIABLE_ANSWER: self._on_variable,
        }

    def take(self, times: Times, data: bytes) -> Iterator[Event]:
        """Return what a PDU says.

        Raises:
            IndexError, ValueError, struct.error: it is too short, or its parts do not fit.
        """
        opcode = data[0]
        if opcode in (NOTIFICATION, INDICATION):
            (handle,) = struct.unpack_from("<H", data, 1)
            yield from self._before_value(times)
            yield self._value(times, handle, data[3:], confirmed=opcode == INDICATION)
        elif opcode == SEVERAL:
            yield from self._before_value(times)
            for handle, value in _several(data[1:]):
                yield self._value(times, handle, value, confirmed=False)
        elif opcode in (WRITE_COMMAND, SIGNED_COMMAND):
            (handle,) = struct.unpack_from("<H", data, 1)
            value = data[3:-_SIGNATURE] if opcode == SIGNED_COMMAND else data[3:]
            yield from self._write(times, handle, value, response=False)
        elif opcode == ERROR:
            yield from self._on_error(times, data)
        elif opcode in self._answers or opcode in DISCOVERIES:
            yield from self._on_answer(times, opcode, data)
        elif opcode != CONFIRMATION:
            yield from self._on_request(times, data)

    def end(self, times: Times) -> Iterator[Event]:
        """Return what was still open when the link ended."""
        yield from self._end_long(times)
        yield from self._before_value(times)
        request, self._request = self._request, None
        if request is not None:
            yield from self._failed(times, request, {"error": "the link ended before the answer"})

    def _on_request(self, times: Times, data: bytes) -> Iterator[Event]:
        opcode = data[0]
        if opcode != BLOB_REQUEST:
            yield from self._end_long(times)
        handle = 0
        if opcode in (READ_REQUEST, BLOB_REQUEST, WRITE_REQUEST, PREPARE_REQUEST):
            (handle,) = struct.unpack_from("<H", data, 1)
        if opcode == MTU_REQUEST:
            (self._offered,) = struct.unpack_from("<H", data, 1)
        self._request = _Request(opcode, times.micros, handle, data[1:])

    def _on_answer(self, times: Times, opcode: int, data: bytes) -> Iterator[Event]:
        request, self._request = self._request, None
        if request is None or request.opcode != opcode - 1:
            reason = f"an answer of type {opcode:#04x} without its request"
            yield Missing(**times.fields(), reason=reason)
            return
        if (discover := DISCOVERIES.get(opcode)) is not None:
            discover(self._attributes, request.data, data[1:])
        else:
            yield from self._answers[opcode](times, request, data[1:])

    def _on_error(self, times: Times, data: bytes) -> Iterator[Event]:
        asked, handle, code = struct.unpack_from("<BHB", data, 1)
        request, self._request = self._request, None
        if asked == BLOB_REQUEST and self._long is not None:
            # The value was as long as an answer, and nothing follows.
            yield from self._end_long(times)
            return
        if request is None or request.opcode != asked:
            return
        what = {"error": att_text(code), "code": code, "took_s": self._took_s(times, request)}
        yield from self._failed(times, request._replace(handle=request.handle or handle), what)

    def _failed(self, times: Times, request: _Request, what: dict[str, Any]) -> Iterator[Event]:
        if request.opcode in (READ_REQUEST, BLOB_REQUEST):
            yield from self._before_value(times)
            yield self._line(Read, times, request.handle, value=None, **what)
        elif request.opcode in (WRITE_REQUEST, PREPARE_REQUEST):
            value = request.data[2 if request.opcode == WRITE_REQUEST else 4 :]
            yield from self._write(times, request.handle, value, response=True, **what)
        if request.opcode in (PREPARE_REQUEST, EXECUTE_REQUEST):
            self._prepared.clear()

    def _on_mtu(self, times: Times, _request: _Request, data: bytes) -> Iterator[Event]:
        (answered,) = struct.unpack_from("<H", data)
        self._mtu = max(_DEFAULT_MTU, min(self._offered, answered))
        yield MtuAgreed(**self._fields(times), mtu=self._mtu)

    def _on_by_type(self, times: Times, request: _Request, data: bytes) -> Iterator[Event]:
        # Not only for discoveries: a value can be read by its UUID.
        for handle, value in values_by_type(self._attributes, request.data, data):
            yield from self._read(times, request, handle, value)

    def _on_read(self, times: Times, request: _Request, data: bytes) -> Iterator[Event]:
        if len(data) == self._mtu - 1:
            self._long = request, bytearray(data)
        else:
            yield from self._read(times, request, request.handle, data)

    def _on_blob(self, times: Times, request: _Request, data: bytes) -> Iterator[Event]:
        (offset,) = struct.unpack_from("<H", request.data, 2)
        long = self._long
        if long is None or long[0].handle != request.handle or offset != len(long[1]):
            return  # a part of a value whose beginning was not read
        long[1].extend(data)
        if len(data) < self._mtu - 1 or len(long[1]) >= _LONGEST_VALUE:
            yield from self._end_long(times)

    def _end_long(self, times: Times) -> Iterator[Event]:
        if self._long is not None:
            (request, value), self._long = self._long, None
            yield from self._read(times, request, request.handle, bytes(value))

    def _on_multiple(self, times: Times, request: _Request, data: bytes) -> Iterator[Event]:
        # The values follow each other without their lengths, so where one ends is not known.
        yield from ()

    def _on_variable(self, times: Times, request: _Request, data: bytes) -> Iterator[Event]:
        at = 0
        for (handle,) in struct.iter_unpack("<H", request.data):
            (size,) = struct.unpack_from("<H", data, at)
            value = data[at + 2 : at + 2 + size]
            if len(value) < size:
                return  # cut at the MTU
            yield from self._read(times, request, handle, value)
            at += 2 + size

    def _on_write(self, times: Times, request: _Request, _data: bytes) -> Iterator[Event]:
        took_s = self._took_s(times, request)
        value = request.data[2:]
        yield from self._write(times, request.handle, value, response=True, took_s=took_s)

    def _on_prepare(self, _times: Times, request: _Request, _data: bytes) -> Iterator[Event]:
        (offset,) = struct.unpack_from("<H", request.data, 2)
        part = request.data[4:]
        if request.handle not in self._prepared and len(self._prepared) >= _MOST_PREPARED:
            return
        value = self._prepared.setdefault(request.handle, bytearray())
        if offset + len(part) <= _LONGEST_VALUE:
            value[offset : offset + len(part)] = part
        yield from ()

    def _on_execute(self, times: Times, request: _Request, _data: bytes) -> Iterator[Event]:
        prepared, self._prepared = self._prepared, {}
        if request.data[:1] == b"\x01":
            took_s = self._took_s(times, request)
            for handle, value in prepared.items():
                written = bytes(value)
                yield from self._write(times, handle, written, response=True, took_s=took_s)

    def _read(self, times: Times, request: _Request, handle: int, value: bytes) -> Iterator[Event]:
        if not self._attributes.is_declaration(handle):
            yield from self._before_value(times)
            took_s = self._took_s(times, request)
            yield self._line(Read, times, handle, value=value, took_s=took_s)

    def _write(
        self, times: Times, handle: int, value: bytes, *, response: bool, **what: Any
    ) -> Iterator[Event]:
        bits = value[0] if value in _CONFIGURATIONS else None
        owner = None if bits is None else self._attributes.configures(handle)
        yield from self._before_value(times)
        if owner is None or bits is None:
            yield self._line(Written, times, handle, value=value, response=response, **what)
        else:
            mode = "notify" if bits & 1 else "indicate" if bits & 2 else "off"
            yield self._line(Subscribed, times, owner, mode=mode, **what)

    def _value(self, times: Times, handle: int, value: bytes, *, confirmed: bool) -> Value:
        if handle == 0:
            raise ValueError("a value of handle 0, which no attribute has")
        return Value(times.micros, value, self.stream(handle, times.start, confirmed=confirmed))

    def stream(self, handle: int, start: int, *, confirmed: bool) -> Stream:
        """Return what the values of a characteristic have in common."""
        uuid = self._attributes.uuid(handle)
        return Stream(self._device, self._link, uuid, handle, confirmed, start)

    def _before_value(self, times: Times) -> Iterator[Event]:
        """Say which services there are, if that is new on this link."""
        if self._said != self._attributes.version:
            self._said = self._attributes.version
            if services := self._attributes.services():
                yield Discovered(**self._fields(times), services=services)

    def _fields(self, times: Times) -> dict[str, Any]:
        return {**times.fields(), "device": self._device, "link": self._link}

    def _line(self, kind: type, times: Times, handle: int, **what: Any) -> Event:
        uuid = self._attributes.uuid(handle)
        return kind(**self._fields(times), uuid=uuid, handle=handle, **what)

    def _took_s(self, times: Times, request: _Request) -> float | None:
        took = times.micros - request.micros
        return round(took / 1e6, 6) if 0 <= took <= _LONGEST_WAIT_US else None


def _several(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        handle, size = struct.unpack_from("<HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) < size:
            raise IndexError
        yield handle, value
        at += 4 + size
