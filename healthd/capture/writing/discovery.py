"""The discovery of services as ATT PDUs; Core Specification, Vol 3, Part G, 4.4, 4.6 and 4.7."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from healthd.capture.att import opcodes
from healthd.capture.writing.att import NOT_FOUND, Pdu, answer, ask, refuse, u16, uuid_bytes
from healthd.capture.writing.unsaid import CannotSay
from healthd.traffic.lines import Characteristic, Service

_PRIMARY_SERVICE, _CHARACTERISTIC = 0x2800, 0x2803
_LAST_HANDLE = 0xFFFF

# BlueZ's names; Core Specification, Vol 3, Part G, 3.3.1.1.
_PROPERTIES = {
    "broadcast": 0x01,
    "read": 0x02,
    "write-without-response": 0x04,
    "write": 0x08,
    "notify": 0x10,
    "indicate": 0x20,
    "authenticated-signed-writes": 0x40,
    "extended-properties": 0x80,
}

# The answers say the size of an entry in one byte. Two handles and a long UUID fit many times.
_LONGEST_ANSWER = 0xFF


class _Entry(NamedTuple):
    """A part of an answer.

    Attributes:
        handle: of the attribute.
        data: the entry.
        last: the last handle that it covers: the next request begins after it.
    """

    handle: int
    data: bytes
    last: int


def unknown_properties(services: Sequence[Service]) -> set[str]:
    """Return the names of properties for which a declaration has no bit."""
    return {
        name
        for service in services
        for characteristic in service.characteristics
        for name in characteristic.properties
        if name not in _PROPERTIES
    }


def discover(services: Sequence[Service], mtu: int) -> Iterator[Pdu]:
    """Return how a central finds the services, their characteristics and descriptors.

    The lines have no handle of a characteristic's declaration. It is the one before its value,
    as in nearly all devices.

    Raises:
        CannotSay: no device can have these handles.
    """
    _check(services)
    ends = [after.handle - 1 for _, after in pairwise(services)]
    ends += [_last_handle(service) for service in services[-1:]]
    found = [
        _Entry(each.handle, u16(each.handle) + u16(end) + uuid_bytes(each.uuid), end)
        for each, end in zip(services, ends, strict=True)
    ]
    pdus = [*_by_type(opcodes.BY_GROUP_REQUEST, _PRIMARY_SERVICE, 1, _LAST_HANDLE, found, mtu)]
    for service, end in zip(services, ends, strict=True):
        pdus += _characteristics(service, end, mtu)
    return iter(pdus)


def _characteristics(service: Service, end: int, mtu: int) -> Iterator[Pdu]:
    found = [_declaration(each) for each in service.characteristics]
    first = service.handle
    yield from _by_type(opcodes.BY_TYPE_REQUEST, _CHARACTERISTIC, first, end, found, mtu)
    ends = [after.handle - 2 for _, after in pairwise(service.characteristics)]
    for each, last in zip(service.characteristics, [*ends, end], strict=False):
        if each.descriptors:
            yield from _descriptors(each, last, mtu)


def _declaration(each: Characteristic) -> _Entry:
    bits = 0
    for name in each.properties:
        bits |= _PROPERTIES.get(name, 0)
    data = u16(each.handle - 1) + bytes((bits,)) + u16(each.handle) + uuid_bytes(each.uuid)
    return _Entry(each.handle - 1, data, each.handle - 1)


def _descriptors(of: Characteristic, end: int, mtu: int) -> Iterator[Pdu]:
    found = [
        _Entry(each.handle, u16(each.handle) + uuid_bytes(each.uuid), each.handle)
        for each in of.descriptors
    ]
    start = of.handle + 1
    for entries in _answers(found, mtu):
        short = len(entries[0].data) == 4
        yield ask(opcodes.INFORMATION_REQUEST, start, end)
        data = b"".join(entry.data for entry in entries)
        yield answer(opcodes.INFORMATION_ANSWER, b"\x01" if short else b"\x02", data)
        start = entries[-1].last + 1
    if start <= end:
        yield ask(opcodes.INFORMATION_REQUEST, start, end)
        yield refuse(opcodes.INFORMATION_REQUEST, start, NOT_FOUND)


def _by_type(
    op: int, kind: int, start: int, end: int, found: Sequence[_Entry], mtu: int
) -> Iterator[Pdu]:
    for entries in _answers(found, mtu):
        yield ask(op, start, end, kind)
        data = b"".join(entry.data for entry in entries)
        # The number of each answer is the one after its request.
        yield answer(op + 1, bytes((len(entries[0].data),)), data)
        start = entries[-1].last + 1
    if start <= end:
        yield ask(op, start, end, kind)
        yield refuse(op, start, NOT_FOUND)


def _answers(found: Sequence[_Entry], mtu: int) -> Iterator[list[_Entry]]:
    """Split entries into answers: all entries of an answer have the same size."""
    entries: list[_Entry] = []
    size = 2
    for entry in found:
        room = size + len(entry.data) <= min(mtu, _LONGEST_ANSWER)
        if entries and (len(entry.data) != len(entries[0].data) or not room):
            yield entries
            entries, size = [], 2
        entries.append(entry)
        size += len(entry.data)
    if entries:
        yield entries


def _last_handle(service: Service) -> int:
    last = service.handle
    for each in service.characteristics:
        last = each.descriptors[-1].handle if each.descriptors else each.handle
    return last


def _check(services: Sequence[Service]) -> None:
    """Raise CannotSay unless each handle is greater than the one before."""
    last = 0
    for service in services:
        handles = [service.handle]
        for each in service.characteristics:
            handles += [each.handle - 1, each.handle]
            handles += [descriptor.handle for descriptor in each.descriptors]
        for handle in handles:
            if handle <= last:
                raise CannotSay("services whose handles are not in ascending order")
            last = handle
