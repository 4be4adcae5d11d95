"""The checksum of a stored sample: whether a row is still what was written, to the last bit."""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from healthd.outbox.schema import Entry, Stored

# Against cards whose bits rot, not against attackers: CRC-32 finds every change of up to three bits
# in a row of usual size, misses one of four billion others, and takes less than a microsecond.
_SIGN = 1 << 31

_CLOCKS = ("synced", "unsynced")

_TYPES = (int, str, str, str, str, int, int, int, str, str, bytes)

# The words that topics are made of; the stream of raw bytes has two of them.
_TOPIC_PART = re.compile(r"[^\x00-\x1f\x7f+#]*")

_INTEGERS = range(-(2**63), 2**63)


def checksum(row: int, entry: Sequence[Any]) -> int:
    """Return the checksum of a row, such that SQLite stores it in at most four bytes.

    It covers all columns, and the row's number: a sample in a wrong place counts as damaged.

    Args:
        row: the row's number.
        entry: the columns from ``peripheral`` to ``payload``.

    Raises:
        TypeError, UnicodeEncodeError: a value is not of the column's type.
    """
    peripheral, stream, schema, run, seq, wall_ns, mono_ns, clock, boot, payload = entry[:10]
    if not payload:
        raise TypeError("no payload")
    # A zero byte ends each value, so that no two rows have the same text.
    names = f"{row}\0{peripheral}\0{stream}\0{schema}\0{run}\0{seq}"
    times = f"\0{wall_ns}\0{mono_ns}\0{clock}\0{boot}"
    text = names + times
    return zlib.crc32(payload, zlib.crc32(text.encode())) - _SIGN


def is_intact(values: Sequence[Any]) -> bool:
    """Return whether a row is what was written.

    Args:
        values: the columns of table ``pending``, with the number and the checksum. A row of an
            older file has no checksum: it is intact if it has the form of a sample.
    """
    if values[11] is None:
        return has_form(values[:11])
    try:
        # A value of another type has another text.
        return bool(checksum(values[0], values[1:11]) == values[11])
    except TypeError:
        return False


def has_form(stored: Sequence[Any]) -> bool:
    """Return whether the values look like a sample, and its payload carries its number."""
    if not all(map(isinstance, stored, _TYPES)):
        return False
    sample = Stored(*stored)
    try:
        payload: Any = orjson.loads(sample.payload)
        identity = payload["id"], payload["seq"]
    except (ValueError, KeyError, TypeError, IndexError):
        return False
    parts = (sample.peripheral, sample.stream)
    named = all(_TOPIC_PART.fullmatch(part) and "\ufffd" not in part for part in parts)
    expected = f"{sample.run}-{sample.seq}", sample.seq
    return named and sample.clock in _CLOCKS and identity == expected


def is_storable(entry: Entry) -> bool:
    """Return whether the store can hold a sample: SQLite's integers have 64 bits."""
    values = (0, *entry[:-1])
    if not all(map(isinstance, values, _TYPES)) or not entry.payload:
        return False
    try:
        checksum(0, entry)
    except UnicodeEncodeError:
        return False
    record = () if entry.record is None else entry.record
    numbers = [value for value in (*values, *record) if isinstance(value, int)]
    return all(number in _INTEGERS for number in numbers)
