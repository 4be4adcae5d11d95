"""Values of characteristics and broadcasts: any bytes give a measurement or a DecodeError."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast
from healthd.profiles.options import Options
from healthd.profiles.quirks import QUIRKS
from healthd.profiles.registry import load
from tests.fuzz import target
from tests.fuzz.pieces import Pieces
from tests.support.digits import too_many_digits

VECTORS = Path(__file__).parents[2] / "vectors"
SOURCES = load().sources
BIND_KEY = bytes(range(16))

# A sample of a byte and its name; and a packet's worth of names.
_JSON_BYTES = 100
_JSON_AT_MOST = 4000


def vectors() -> dict[str, list[bytes]]:
    """Return the packets of ``tests/vectors``, good and bad ones, by UUID."""
    return {
        file.stem: [
            bytes.fromhex(text) for text in re.findall(r'(?m)^hex = "(\w*)"', file.read_text())
        ]
        for file in sorted(VECTORS.glob("*.toml"))
    }


class Target(target.Target):
    """The first byte chooses the characteristic or broadcast, the second one a device or none.

    The device deviates from the specification, or encrypts what it advertises.
    """

    def seeds(self) -> Iterable[bytes]:
        """Yield every vector."""
        known = vectors()
        for number, source in enumerate(SOURCES):
            for packet in known.get(source.uuid, [b""]):
                yield bytes([number, 255]) + packet
        for number, quirk in enumerate(QUIRKS):
            for packet in known.get(quirk.uuid, [b""])[:8]:
                yield bytes([0, number]) + packet

    def fuzz(self, data: bytes) -> None:
        """Decode, and check that JSON can hold it in a size that fits to that of the packet."""
        pieces = Pieces(data)
        source, number = SOURCES[pieces.number() % len(SOURCES)], pieces.number()
        packet = pieces.rest()[:512]
        decode = QUIRKS[number].decode if number < len(QUIRKS) else source.decode
        if isinstance(source, Broadcast):
            assert source.fits(packet) in {True, False}
            if source.decoder is not None and number >= len(QUIRKS):
                options = Options(bind_key=BIND_KEY if number % 2 else None)
                decode = source.decoder(options, "C0:00:00:00:00:01")
        with suppress(DecodeError):
            fields = decode(packet).fields()
            text = orjson.dumps(fields)
            assert orjson.loads(text) == fields
            assert not too_many_digits(fields)
            assert len(text) <= _JSON_AT_MOST + _JSON_BYTES * len(packet), len(text)
