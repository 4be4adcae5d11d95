"""Reads which services, characteristics and descriptors a device has.

Layouts: Core Specification, Vol 3, Part F, section 3.4, and Part G, section 4.
"""

import struct
from collections.abc import Callable, Iterator

from healthd.capture.att.attributes import Attributes, uuid_of
from healthd.capture.att.opcodes import BY_GROUP_ANSWER, BY_VALUE_ANSWER, INFORMATION_ANSWER

_PRIMARY, _SECONDARY, _INCLUDE, _CHARACTERISTIC = "2800", "2801", "2802", "2803"
_GROUPS = (_PRIMARY, _SECONDARY)


def _by_group(attributes: Attributes, request: bytes, data: bytes) -> None:
    if uuid_of(request[4:]) in _GROUPS:
        for entry in _entries(data, least=6):
            first, last = struct.unpack_from("<HH", entry)
            attributes.add_service(first, last, uuid_of(entry[4:]))


def _by_value(attributes: Attributes, request: bytes, data: bytes) -> None:
    if uuid_of(request[4:6]) == _PRIMARY:
        uuid = uuid_of(request[6:])
        for at in range(0, len(data) - 3, 4):
            first, last = struct.unpack_from("<HH", data, at)
            attributes.add_service(first, last, uuid)


def _information(attributes: Attributes, _request: bytes, data: bytes) -> None:
    size = 2 + (2 if data[0] == 1 else 16)
    for at in range(1, len(data) - size + 1, size):
        (handle,) = struct.unpack_from("<H", data, at)
        attributes.add_attribute(handle, uuid_of(data[at + 2 : at + size]))


DISCOVERIES: dict[int, Callable[[Attributes, bytes, bytes], None]] = {
    BY_GROUP_ANSWER: _by_group,
    BY_VALUE_ANSWER: _by_value,
    INFORMATION_ANSWER: _information,
}
"""By the opcode of an answer, what notes it; called with the request and the answer."""


def values_by_type(
    attributes: Attributes, request: bytes, data: bytes
) -> Iterator[tuple[int, bytes]]:
    """Note the characteristics of an answer to *read by type*; return values with their handles.

    Raises:
        IndexError, ValueError, struct.error: the parts of the answer do not fit.
    """
    kind = uuid_of(request[4:])
    if kind == _CHARACTERISTIC:
        for entry in _entries(data, least=7):
            declared, properties, handle = struct.unpack_from("<HBH", entry)
            attributes.add_characteristic(declared, properties, handle, uuid_of(entry[5:]))
    elif kind not in (*_GROUPS, _INCLUDE):
        for entry in _entries(data, least=2):
            (handle,) = struct.unpack_from("<H", entry)
            attributes.add_attribute(handle, kind)
            yield handle, entry[2:]


def _entries(data: bytes, least: int) -> Iterator[bytes]:
    """Return the entries of a list whose first byte is their size.

    Raises:
        ValueError: they are smaller than expected.
    """
    size = data[0]
    if size < least:
        raise ValueError(f"entries of {size} bytes, expected at least {least}")
    for at in range(1, len(data) - size + 1, size):
        yield data[at : at + size]
