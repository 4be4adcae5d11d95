"""Where a cycling or running sensor is mounted: a characteristic that several services share.

Layout: GATT Specification Supplement.
"""

from typing import Any, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import U8, word
from healthd.samples import Measurement

Place = Literal[
    "other",
    "top_of_shoe",
    "in_shoe",
    "hip",
    "front_wheel",
    "left_crank",
    "right_crank",
    "left_pedal",
    "right_pedal",
    "front_hub",
    "rear_dropout",
    "chainstay",
    "rear_wheel",
    "rear_hub",
    "chest",
    "spider",
    "chain_ring",
]

PLACES: dict[int, str] = dict(enumerate(get_args(Place)))
"""The places by their numbers."""


class SensorLocation(Measurement):
    """Where the sensor is mounted."""

    kind: ClassVar[str] = "sensor_location"

    location: Place | int
    """A number without a name here stays a number."""


def places(data: bytes) -> tuple[list[str | int], int]:
    """Return the places that fill the rest of a message; for a `layout.Tail`."""
    return [PLACES.get(number, number) for number in data], len(data)


_LAYOUT = Layout(Field("location", U8, meaning=word(PLACES), required=True))


def decode_sensor_location(data: bytes) -> SensorLocation:
    """Decode 2A5D: location u8."""
    fields: dict[str, Any] = _LAYOUT.read(data)
    return SensorLocation.of(fields)


SENSOR_LOCATION = Characteristic("2a5d", SensorLocation, decode_sensor_location, Use.STATIC)
