"""The structures that an advertisement consists of: written, and read as the kernel and BlueZ do.

Source: Core Specification Supplement, Part A; how damaged ones are treated: BlueZ ``src/eir.c``.
"""

import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from bleak.uuids import normalize_uuid_str

_SERVICE_DATA, _MANUFACTURER_DATA = "service_data_", "manufacturer_data_"
# Types of structures (Assigned Numbers, 2.3): incomplete and complete lists of UUIDs by their size.
_UUID_LISTS = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_NAMES = (0x08, 0x09)
_TX_POWER = 0x0A
_SERVICE_DATA_SIZES = {0x16: 2, 0x20: 4, 0x21: 16}
_COMPANY = 0xFF
_LONGEST = 16
_GENERAL_DISCOVERABLE_LE_ONLY = bytes([2, 0x01, 0x06])


def flags() -> bytes:
    """Return the structure with which most devices begin: discoverable, and not Classic."""
    return _GENERAL_DISCOVERABLE_LE_ONLY


def service_list(*uuids: str) -> bytes:
    """Return the complete list of these UUIDs (4, 8 or 36 characters), which have one size."""
    listed = [_little_endian(uuid) for uuid in uuids]
    kind = max(kind for kind, size in _UUID_LISTS.items() if size == len(listed[0]))
    return _structure(kind, b"".join(listed))


def complete_name(name: str) -> bytes:
    """Return the structure with the whole name of a device."""
    return _structure(_NAMES[1], name.encode())


def advertised(data: Mapping[str, bytes]) -> bytes:
    """Return service data and manufacturer data as structures.

    Args:
        data: by ``service_data_`` and a UUID, or ``manufacturer_data_`` and a company id in hex.
    """
    return b"".join(_structure(*_written(key, value)) for key, value in data.items())


def _written(key: str, value: bytes) -> tuple[int, bytes]:
    if key.startswith(_MANUFACTURER_DATA):
        company = int(key.removeprefix(_MANUFACTURER_DATA), 16)
        return _COMPANY, struct.pack("<H", company) + value
    uuid = _little_endian(key.removeprefix(_SERVICE_DATA))
    kind = next(kind for kind, size in _SERVICE_DATA_SIZES.items() if size == len(uuid))
    return kind, uuid + value


def _structure(kind: int, value: bytes) -> bytes:
    return bytes([len(value) + 1, kind]) + value


@dataclass(slots=True)
class Contents:
    """What an advertisement says.

    Attributes:
        name: the name, whole or shortened; None if there is none.
        services: the listed UUIDs, 128 bits in lower case.
        service_data: by UUID, in the same form.
        manufacturer_data: by company id.
        tx_power: in dBm; None if it is not there.
    """

    name: str | None = None
    services: list[str] = field(default_factory=list[str])
    service_data: dict[str, bytes] = field(default_factory=dict[str, bytes])
    manufacturer_data: dict[int, bytes] = field(default_factory=dict[int, bytes])
    tx_power: int | None = None


def contents(advertisement: bytes) -> Contents:
    """Read an advertisement, whatever its bytes; of equal structures the last one counts."""
    found = Contents()
    for kind, value in _structures(advertisement):
        if kind == _COMPANY and len(value) >= 2:
            found.manufacturer_data[int.from_bytes(value[:2], "little")] = value[2:]
        elif size := _SERVICE_DATA_SIZES.get(kind):
            if len(value) >= size:
                found.service_data[_canonical(value[:size])] = value[size:]
        elif size := _UUID_LISTS.get(kind):
            whole = len(value) - len(value) % size
            found.services += (_canonical(value[at : at + size]) for at in range(0, whole, size))
        elif kind in _NAMES:
            found.name = _readable(value) or found.name
        elif kind == _TX_POWER and value:
            found.tx_power = struct.unpack_from("b", value)[0]
    return found


def _structures(advertisement: bytes) -> Generator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(advertisement):
        end = at + 1 + advertisement[at]
        # A length of zero ends the data early, and what goes on past its end is not read.
        if end == at + 1 or end > len(advertisement):
            return
        yield advertisement[at + 1], advertisement[at + 2 : end]
        at = end


def _little_endian(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))[::-1]


def _canonical(uuid: bytes) -> str:
    # Not with bumble's UUID: it keeps each one forever, and any can be sent.
    if len(uuid) == _LONGEST:
        return str(UUID(bytes=uuid[::-1]))
    return normalize_uuid_str(uuid[::-1].hex())


def _readable(name: bytes) -> str:
    # BlueZ puts a space for every byte that is not ASCII if the whole is not UTF-8.
    name = name.rstrip(b"\0")
    try:
        return name.decode().strip()
    except UnicodeDecodeError:
        return "".join(chr(each) if each < 0x80 else " " for each in name).strip()
