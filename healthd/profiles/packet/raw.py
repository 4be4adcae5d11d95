"""Characteristics whose layout no public source confirms: passed on as hex, marked experimental.

A consumer that knows the layout can decode them, and captures are the basis for a decoder here.
"""

from typing import ClassVar, Literal

from pydantic import create_model

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.samples import Measurement


class Raw(Measurement):
    """A value as it was sent. The keys will change when its layout is known."""

    experimental: Literal[True]
    value_hex: str
    """Two hex digits for each byte, in the order of the packet."""

    schema_version: ClassVar[int] = 0


def raw(uuid: str, kind: str, use: Use) -> Characteristic:
    """Return a characteristic that is passed on as hex, with its own kind.

    Args:
        uuid: see `Characteristic`.
        kind: see `Measurement`.
        use: see `Characteristic`.
    """
    name = "".join(word.capitalize() for word in kind.split("_"))
    model = create_model(name, __base__=Raw, __doc__=f"A value of {uuid}, as it was sent.")
    model.kind = kind

    def decode(data: bytes) -> Raw:
        if not data:
            raise DecodeError("offset 0: expected a value, found 0 bytes")
        return model(experimental=True, value_hex=data.hex())

    return Characteristic(uuid, model, decode, use)
