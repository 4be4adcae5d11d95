"""Battery service (0x180F). Layout: GATT Specification Supplement."""

from typing import Annotated, ClassVar

from healthd.profiles.characteristic import Characteristic, Profile, Use
from healthd.profiles.cursor import Cursor
from healthd.samples import Measurement, quantity


class Battery(Measurement):
    """Charge of the peripheral's own battery."""

    kind: ClassVar[str] = "battery"
    retained: ClassVar[bool] = True

    level_pct: Annotated[int | None, quantity("%", mdc=67996)]
    """None where the device sends more than 100."""


def decode_level(data: bytes) -> Battery:
    """2A19: level u8 (%), 0 to 100; the rest is reserved."""
    cursor = Cursor(data)
    level = cursor.u8()
    return Battery(**cursor.finish({"level_pct": level if level <= 100 else None}))


PROFILE = Profile(
    name="battery",
    service="180f",
    characteristics=(Characteristic("2a19", Battery, decode_level, Use.STATUS),),
)
