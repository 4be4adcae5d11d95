"""Characteristics whose layout no readable source confirms: passed on as hex, marked experimental.

Unknown data is still data: who knows the layout can decode it, and a capture is what a decoder
here would begin with.
"""

from typing import ClassVar, Literal

from pydantic import create_model

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.samples import Measurement


class Raw(Measurement):
    """A value as it came. Its keys will change once its layout is known."""

    experimental: Literal[True]
    value_hex: str
    """Two digits for each byte, in the order of the packet."""

    schema_version: ClassVar[int] = 0


def raw(uuid: str, kind: str, use: Use) -> Characteristic:
    """A characteristic that is passed on as hex, under a kind of its own.

    Args:
        uuid: see `Characteristic`.
        kind: see `Measurement`.
        use: see `Characteristic`.
    """
    name = "".join(word.capitalize() for word in kind.split("_"))
    model = create_model(name, __base__=Raw, __doc__=f"A value of {uuid}, as it came.")
    model.kind = kind

    def decode(data: bytes) -> Raw:
        if not data:
            raise DecodeError("offset 0: expected a value, found 0 bytes")
        return model(experimental=True, value_hex=data.hex())

    return Characteristic(uuid, model, decode, use)
