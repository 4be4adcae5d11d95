"""Reads from when to when a certificate is valid; Python shows that of the broker's only."""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

# Tags of DER (X.690) in a certificate (RFC 5280 section 4.1).
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Validity(NamedTuple):
    """The first and the last second at which a certificate is valid, in UTC."""

    begins: datetime
    ends: datetime


def validity(file: Path) -> Validity:
    """Return when the first certificate of a PEM file is valid.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is no certificate in it.
    """
    found = _PEM.search(file.read_text(encoding="ascii", errors="replace"))
    if found is None:
        raise ValueError("no certificate")
    certificate = _Values(ssl.PEM_cert_to_DER_cert(found[0]))
    to_be_signed = _Values(_Values(certificate.next(_SEQUENCE)).next(_SEQUENCE))
    to_be_signed.skip(_VERSION)
    # Serial number, signature algorithm and issuer stand in front of it.
    for _ in range(3):
        to_be_signed.skip()
    times = _Values(to_be_signed.next(_SEQUENCE))
    return Validity(times.time(), times.time())


class _Values:
    """DER values, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def next(self, tag: int) -> bytes:
        """Return the content of the next value, which must have this tag."""
        found, content = self._take()
        if found != tag:
            raise ValueError(f"DER tag 0x{found:02X} instead of 0x{tag:02X}")
        return content

    def skip(self, tag: int | None = None) -> None:
        """Skip the next value; with a tag, only if it has that one."""
        if tag is None or self._data[:1] == bytes([tag]):
            self._take()

    def time(self) -> datetime:
        """Return the next value, a time."""
        tag, content = self._take()
        text = content.decode("ascii", errors="replace")
        if tag == _UTC_TIME:
            # Two digits of the year: 1950 to 2049 (RFC 5280 section 4.1.2.5.1).
            text = ("20" if text[:2] < "50" else "19") + text
        elif tag != _GENERALIZED_TIME:
            raise ValueError(f"DER tag 0x{tag:02X} instead of a time")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)

    def _take(self) -> tuple[int, bytes]:
        if len(self._data) < 2:
            raise ValueError("the certificate is cut off")
        tag, length, start = self._data[0], self._data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(self._data[2:start], "big")
        content = self._data[start : start + length]
        if len(content) != length:
            raise ValueError("the certificate is cut off")
        self._data = self._data[start + length :]
        return tag, content
