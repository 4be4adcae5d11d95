"""A certificate's dates, as `healthd doctor` reads them."""

import ssl
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from healthd.doctor.certificate import validity
from tests.fuzz import target


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    return bytes([tag, length] if length < 0x80 else [tag, 0x81, length]) + content


class Target(target.Target):
    """The input is the certificate in DER; an input that is PEM already is the file."""

    words = (
        b"\x30\x82\x01",
        b"\x17\x0d",
        b"\x18\x0f",
        b"20261130120000Z",
        b"\x84\xff\xff\xff\xff",
        b"\x80",
    )

    def __init__(self) -> None:
        """Make a folder."""
        self._folder = target.folder()
        self._file = Path(self._folder.name) / "certificate.pem"

    def seeds(self) -> Iterable[bytes]:
        """Yield one with each kind of time, and a PEM file."""
        for tag, begins, ends in (
            (0x17, b"260101000000Z", b"270101000000Z"),
            (0x18, b"20260101000000Z", b"20570101000000Z"),
        ):
            times = _der(0x30, _der(tag, begins) + _der(tag, ends))
            before = _der(0xA0, _der(2, b"\2")) + _der(2, b"\1") + 2 * _der(0x30, b"abc")
            made = _der(
                0x30, _der(0x30, before + times + _der(0x30, b"name")) + _der(0x30, b"signed")
            )
            yield made
            yield ssl.DER_cert_to_PEM_cert(made).encode()

    def fuzz(self, data: bytes) -> None:
        """Read the dates."""
        if not data.startswith(b"-----"):
            data = ssl.DER_cert_to_PEM_cert(data).encode()
        self._file.write_bytes(data)
        with suppress(ValueError):
            found = validity(self._file)
            assert found.begins.tzinfo is found.ends.tzinfo is not None

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        self._folder.cleanup()
