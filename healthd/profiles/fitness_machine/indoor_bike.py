"""Indoor Bike Data (0x2AD2)."""

from typing import Annotated, ClassVar

from healthd.profiles.fitness_machine.records import (
    NARROW,
    SPEED,
    WHOLE_RECORD,
    WIDE,
    AveragePower,
    AverageSpeed,
    Distance,
    PerMinute,
    Power,
    ResistedRecord,
    Speed,
    ending,
    fitting,
    read,
    width,
)
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import S16, U16, U24, Wire, scaled
from healthd.samples import quantity

_CADENCE = 0x04
_CADENCE_BYTES = 2


class IndoorBike(ResistedRecord):
    """Data of an indoor bike or a bike trainer, sent at least once a second."""

    kind: ClassVar[str] = "indoor_bike"

    speed_mps: Speed = None
    average_speed_mps: AverageSpeed = None
    cadence_rpm: Annotated[float | None, quantity("/min", mdc=8454255)] = None
    average_cadence_rpm: PerMinute = None
    total_distance_m: Distance = None
    power_w: Power = None
    average_power_w: AveragePower = None


def _layout(form: Wire) -> Layout:
    return Layout(
        Field("speed_mps", U16, no_bit(0), SPEED, required=True),
        Field("average_speed_mps", U16, bit(1), SPEED),
        Field("cadence_rpm", U16, bit(2), scaled(2)),
        Field("average_cadence_rpm", U16, bit(3), scaled(2)),
        Field("total_distance_m", U24, bit(4)),
        Field("resistance_raw", form, bit(5)),
        Field("power_w", S16, bit(6)),
        Field("average_power_w", S16, bit(7)),
        *ending(8),
        flags=U16,
        facts=(
            WHOLE_RECORD,
            width(form, bit(5)),
        ),
    )


_WIDE, _NARROW = _layout(WIDE), _layout(NARROW)


def decode_indoor_bike(data: bytes) -> IndoorBike:
    """Decode 2AD2: flags u16 · speed u16 0.01 km/h if bit 0 is 0 · fields of bits 1 to 12.

    Resistance is an s16, or a u8 if that fits the packet's length exactly.
    """
    return IndoorBike.of(read(data, fitting(data, _WIDE, _NARROW)))


def decode_life_fitness_bike(data: bytes) -> IndoorBike:
    """Decode 2AD2 of a Life Fitness bike, which may send the cadence with its flag clear.

    In such packets the fields after the cadence are shifted, and two bytes are left over.
    """
    bike = decode_indoor_bike(data)
    if bike.trailing_bytes != _CADENCE_BYTES or data[0] & _CADENCE:
        return bike
    return decode_indoor_bike(bytes((data[0] | _CADENCE,)) + data[1:])
