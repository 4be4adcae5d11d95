"""The structures of an advertisement, and the data in them that decoders read.

Layout: Core Specification, Vol 3, Part C, section 11; contents: Supplement to the Core
Specification, Part A, sections 1.2 (name), 1.4 (manufacturer) and 1.11 (service data); numbers of
the types: Assigned Numbers, section 2.3.
"""

from typing import NamedTuple
from uuid import UUID

from healthd.errors import DecodeError
from healthd.profiles.packet.text import clean
from healthd.profiles.uuids import canonical_uuid

MOST_BYTES = 2 * 1650
"""An advertisement and its scan response; each has at most 1650 bytes with extended advertising
(Core Specification, Vol 6, Part B, section 2.3.4.9)."""

_SHORT_NAME, _NAME, _MANUFACTURER = 0x08, 0x09, 0xFF

# Type: the number of bytes of its UUID.
_SERVICE_DATA = {0x16: 2, 0x20: 4, 0x21: 16}

_COMPANY_BYTES = 2


class Structure(NamedTuple):
    """One structure of an advertisement.

    Attributes:
        offset: where it begins in the advertisement.
        type: what its data is, by Assigned Numbers.
        data: what follows the type.
    """

    offset: int
    type: int
    data: bytes


class Advertised(NamedTuple):
    """What an advertisement says.

    Attributes:
        name: of the device; the complete one if there are both; empty if there is none.
        data: service data and manufacturer data in the order of the packet, with keys as in
            ``Broadcast``. A key may occur more than once.
    """

    name: str
    data: tuple[tuple[str, bytes], ...]


def structures(packet: bytes) -> list[Structure]:
    """Return the structures of an advertisement, or of one and the scan response after it.

    Zero bytes between and after structures are padding: a legacy advertisement has 31 bytes on the
    air, whatever its contents.

    Raises:
        DecodeError: a structure is longer than the rest, or the packet than any advertisement.
    """
    if len(packet) > MOST_BYTES:
        raise DecodeError(f"found {len(packet)} bytes, expected at most {MOST_BYTES}")
    found: list[Structure] = []
    offset = 0
    while offset < len(packet):
        if length := packet[offset]:
            if offset + 1 + length > len(packet):
                rest = len(packet) - offset - 1
                raise DecodeError(f"offset {offset}: a structure of {length} bytes, found {rest}")
            data = packet[offset + 2 : offset + 1 + length]
            found.append(Structure(offset, packet[offset + 1], data))
        offset += 1 + length
    return found


def advertised(packet: bytes) -> Advertised:
    """Return the name and the data of an advertisement.

    Raises:
        DecodeError: it is not made of structures, or one is too short for its UUID or company id.
    """
    names = {_SHORT_NAME: "", _NAME: ""}
    data: list[tuple[str, bytes]] = []
    for structure in structures(packet):
        if structure.type in names:
            names[structure.type] = clean(structure.data.decode("utf-8", "replace"))
        elif is_data(structure.type):
            try:
                data.append(keyed(structure.type, structure.data))
            except DecodeError as error:
                raise DecodeError(f"offset {structure.offset}: {error}") from error
    return Advertised(names[_NAME] or names[_SHORT_NAME], tuple(data))


def is_data(kind: int) -> bool:
    """Return whether a structure of this type holds service data or manufacturer data."""
    return kind == _MANUFACTURER or kind in _SERVICE_DATA


def keyed(kind: int, data: bytes) -> tuple[str, bytes]:
    """Return the key of service data or manufacturer data, and the bytes after UUID or company id.

    Args:
        kind: the type of the structure.
        data: what follows the type.

    Raises:
        DecodeError: the data ends before its UUID or company id does.
    """
    size = _SERVICE_DATA.get(kind, _COMPANY_BYTES)
    if len(data) < size:
        what = "a company id" if kind == _MANUFACTURER else "a UUID"
        raise DecodeError(f"found {len(data)} bytes, expected {what} of {size} bytes")
    number, rest = data[:size][::-1], data[size:]
    if kind == _MANUFACTURER:
        return f"manufacturer_data_{number.hex()}", rest
    uuid = str(UUID(bytes=number)) if size == 16 else number.hex()
    return f"service_data_{canonical_uuid(uuid)}", rest
