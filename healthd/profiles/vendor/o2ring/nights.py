"""The nights that the ring has stored: files of version 3, a header and one record every 2 or 4 s.

Header, 40 bytes: version u8, mode u8, start (year u16, month, day, hour, minute, second u8), size
u32, duration u16 (s), then results of the whole night, which are not read. Record, 5 bytes: SpO2 u8
(%), pulse u16 (/min), movement u8, 1 byte. The start is by the ring's clock, which has no zone.
"""

import re
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from healthd.bounded_json import Bounds, parsed
from healthd.errors import DecodeError
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.vendor.o2ring.live import known_pulse, known_spo2
from healthd.samples import Record

HEADER_SIZE = 40
_HEADER = struct.Struct("<BxHBBBBB4xH")
_RECORD = struct.Struct("<BHBx")
# Version 5 is that of the Checkme O2 Max, with the same layout.
_VERSIONS = (3, 5)
_STEPS_S = (2, 4)

# The information is about 300 bytes long; each of the few files adds 15.
_INFORMATION = Bounds(size=4096, depth=4, values=256)
_MOST_FILES = 64
# A name is the start of the night, 14 digits; some firmware may add an ending.
_NAME = re.compile(r"[0-9A-Za-z._-]{1,32}", re.ASCII)


def file_names(information: bytes) -> list[str]:
    """Return the names of the stored files, the newest one first; none if it is not understood.

    Args:
        information: JSON text that the ring has sent, perhaps with padding.
    """
    try:
        fields = parsed(information.rstrip(b"\0 \t\r\n"), _INFORMATION)
    except ValueError:
        return []
    listed = cast("dict[str, object]", fields).get("FileList") if isinstance(fields, dict) else None
    names = listed.split(",") if isinstance(listed, str) else []
    usable = {name for name in names if _NAME.fullmatch(name)}
    return sorted(usable, reverse=True)[:_MOST_FILES]


def record_count(size: int) -> int:
    """Return how many records a file of this size has."""
    return max(0, size - HEADER_SIZE) // _RECORD.size


class Header(NamedTuple):
    """When the first record of a file was made, and how many seconds later each next one."""

    start: datetime
    step_s: int


def decode_header(data: bytes, size: int) -> Header:
    """Decode the header of a file.

    Args:
        data: at least the header.
        size: of the whole file.

    Raises:
        DecodeError: the times of its records are not known.
    """
    if len(data) < HEADER_SIZE:
        raise DecodeError(f"expected a header of {HEADER_SIZE} bytes, found {len(data)}")
    version, *start, duration_s = _HEADER.unpack_from(data)
    if version not in _VERSIONS:
        raise DecodeError(f"expected version 3 or 5, found {version}")
    # A file that has just lost its last record is one step too long.
    step_s = round(duration_s / max(1, record_count(size)))
    if step_s not in _STEPS_S:
        raise DecodeError(f"expected a record every 2 or 4 s, found {duration_s} s, {size} bytes")
    try:
        return Header(datetime(*start), step_s)  # noqa: DTZ001 - the ring's clock has no zone
    except ValueError as error:
        raise DecodeError(f"expected a date, found {start}") from error


class Night:
    """A file whose blocks arrive one by one, from the first one on."""

    def __init__(self, name: str, size: int) -> None:
        """Start with nothing of it.

        Args:
            name: the name of the file.
            size: how many bytes it has.
        """
        self._name = name
        self._size = size
        self._header: Header | None = None
        self._rest = b""
        self._blocks = self._records = 0

    def take(self, block: int, data: bytes) -> Iterator[tuple[PulseOximeter, Record]]:
        """Yield the records that are whole with this block, and what identifies each.

        A block that is not the next one is ignored.

        Raises:
            DecodeError: the times of its records are not known.
        """
        if block != self._blocks:
            return
        self._blocks += 1
        self._rest += data
        if self._header is None:
            if len(self._rest) < HEADER_SIZE:
                return
            self._header = decode_header(self._rest, self._size)
            self._rest = self._rest[HEADER_SIZE:]
        left = record_count(self._size) - self._records
        whole = min(len(self._rest) // _RECORD.size, left) * _RECORD.size
        records, self._rest = self._rest[:whole], self._rest[whole:]
        for spo2, pulse, movement in _RECORD.iter_unpack(records):
            yield self._record(self._header, spo2, pulse, movement)
            self._records += 1

    def _record(
        self, header: Header, spo2: int, pulse: int, movement: int
    ) -> tuple[PulseOximeter, Record]:
        time = header.start + timedelta(seconds=self._records * header.step_s)
        fields = {
            "device_time": time.isoformat(),
            "spo2_pct": known_spo2(spo2),
            "pulse_rate_bpm": known_pulse(pulse),
            "measurement_status": ["from_storage"],
            "movement": movement,
        }
        return PulseOximeter.of(fields), Record(self._name, self._records, time.isoformat())
