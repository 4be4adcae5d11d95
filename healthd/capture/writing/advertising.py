"""Advertisements as reports of a controller; Core Specification, Vol 4, Part E, 7.7.65."""

from collections.abc import Iterable, Iterator

from healthd.capture.writing.att import u16, uuid_bytes
from healthd.capture.writing.hci import address_type, le_meta
from healthd.capture.writing.unsaid import CannotSay
from healthd.traffic.lines import Advertised

_REPORT, _EXTENDED_REPORT = 0x02, 0x0D
_SERVICES, _LONG_SERVICES, _NAME = 0x03, 0x07, 0x09
_SERVICE_DATA, _LONG_SERVICE_DATA, _MANUFACTURER = 0x16, 0x21, 0xFF

# A legacy advertisement; an extended report, which has at most 255 bytes; all its reports together
# (Vol 6, Part B, 2.3.4.9).
_LEGACY_BYTES, _REPORT_BYTES, _MOST_BYTES = 31, 229, 1650
_LONGEST_STRUCTURE = 0xFF

_UNKNOWN_RSSI = 127
_LEAST_RSSI, _GREATEST_RSSI = -127, 20

# Connectable, as devices that healthd links are; what kind it was, the lines do not say.
_LEGACY_KIND = b"\x00"
_EXTENDED_KIND, _MORE_TO_COME = 0x0001, 0x0020
# PHYs of 1M, no advertising set, no transmit power.
_PHYS_SET_POWER = b"\x01\x01\xff\x7f"
# Not periodic, not directed at an address.
_INTERVAL_TARGET = bytes(9)


def reports(line: Advertised, address: bytes) -> Iterator[bytes]:
    """Return the events of an advertisement: one, or several if it is long.

    Args:
        line: the advertisement.
        address: six bytes in the order in which it is written.

    Raises:
        CannotSay: a part of it fits into no packet.
    """
    structures = list(_structures(line))
    data = b"".join(structures)
    if len(data) > _MOST_BYTES:
        raise CannotSay("advertisements longer than 1650 bytes")
    peer = bytes((address_type(address),)) + address[::-1]
    rssi = _rssi(line.rssi_dbm)
    if len(data) <= _LEGACY_BYTES:
        report = b"\x01" + _LEGACY_KIND + peer + bytes((len(data),)) + data + rssi
        return iter((le_meta(_REPORT, report),))
    return _extended(_pieces(structures), peer, rssi)


def _extended(pieces: list[bytes], peer: bytes, rssi: bytes) -> Iterator[bytes]:
    for number, piece in enumerate(pieces, start=1):
        kind = u16(_EXTENDED_KIND | (0 if number == len(pieces) else _MORE_TO_COME))
        head = b"\x01" + kind + peer + _PHYS_SET_POWER + rssi + _INTERVAL_TARGET
        yield le_meta(_EXTENDED_REPORT, head + bytes((len(piece),)) + piece)


def _pieces(structures: list[bytes]) -> list[bytes]:
    """Return the data of each report. Wireshark joins no reports, so structures stay whole."""
    pieces = [b""]
    for structure in structures:
        if len(pieces[-1]) + len(structure) > _REPORT_BYTES and pieces[-1]:
            pieces.append(b"")
        pieces[-1] += structure[:_REPORT_BYTES]
        if rest := structure[_REPORT_BYTES:]:
            pieces.append(rest)
    return pieces


def _rssi(dbm: int | None) -> bytes:
    known = dbm is not None and _LEAST_RSSI <= dbm <= _GREATEST_RSSI
    return (dbm if dbm is not None and known else _UNKNOWN_RSSI).to_bytes(1, "little", signed=True)


def _structures(line: Advertised) -> Iterator[bytes]:
    uuids = [uuid_bytes(uuid) for uuid in line.services]
    for size, kind in ((2, _SERVICES), (16, _LONG_SERVICES)):
        yield from _uuid_lists(kind, [uuid for uuid in uuids if len(uuid) == size])
    for uuid, data in line.service_data.items():
        number = uuid_bytes(uuid)
        yield _structure(_SERVICE_DATA if len(number) == 2 else _LONG_SERVICE_DATA, number + data)
    for company, data in line.manufacturer_data.items():
        yield _structure(_MANUFACTURER, bytes.fromhex(company)[::-1] + data)
    if line.name is not None:
        yield _structure(_NAME, line.name.encode("utf-8", "replace"))


def _uuid_lists(kind: int, uuids: list[bytes]) -> Iterable[bytes]:
    if not uuids:
        return []
    most = (_LONGEST_STRUCTURE - 1) // len(uuids[0])
    starts = range(0, len(uuids), most)
    return [_structure(kind, b"".join(uuids[start : start + most])) for start in starts]


def _structure(kind: int, data: bytes) -> bytes:
    if len(data) >= _LONGEST_STRUCTURE:
        raise CannotSay("advertised data longer than 254 bytes")
    return bytes((1 + len(data), kind)) + data
