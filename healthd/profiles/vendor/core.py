"""Core Body Temperature service of CORE sensors.

Sources: the maker's "Core Body Temperature Service Specification" V2.2 and "CORE Connectivity
Implementation Notes" V3.1 (CoreBodyTemp/CoreBodyTemp), dvmarinoff/Auuki
(src/ble/ct/core-body-temperature.js) and jogomu/corealarm (corecollect.py), which read the same
layout.

The notes have an example twice: as hex digits, and as Python prints it. They differ: the digits
have an eleventh byte, 5C. That is the backslash with which Python writes 0D, so the bytes that
Python prints are right. The skin has 34.92 deg C in them; the table next to them says 35.22.

Old firmware advertises 00004200-f366-40b2-ac37-70cce0aa83b1 in place of this service. The notes
call that a private API and describe no layout; the measurements are in this service there, too.
Such sensors are recognised by their name.
"""

from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.layout import Field, Layout, bit, both, no_bit
from healthd.profiles.packet.wires import S16, U8, Wire, nothing, scaled
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

Quality = Literal["invalid", "poor", "fair", "good", "excellent"]
HeartRateReception = Literal["unsupported", "no_signal", "receiving"]

_QUALITIES: dict[int, Quality | None] = {
    0: "invalid",
    1: "poor",
    2: "fair",
    3: "good",
    4: "excellent",
    7: None,
}
_RECEPTIONS: tuple[HeartRateReception | None, ...] = ("unsupported", "no_signal", "receiving", None)

_NOT_AVAILABLE = 0x7FFF
# Greater indexes are sent as 254.
_NO_INDEX = 0xFF


class CoreTemperature(Measurement):
    """The temperature inside the body, estimated by a sensor on the skin."""

    kind: ClassVar[str] = "core_temperature"

    core_temperature_c: Annotated[float | None, quantity("Cel", mdc=150368, loinc="8329-5")]
    """``null`` if the sensor does not measure at the moment."""
    skin_temperature_c: Annotated[float | None, quantity("Cel", mdc=150388)] = None
    quality: Quality | int | None = None
    """How far the temperatures can be trusted. An unknown number stays a number."""
    heart_rate_reception: HeartRateReception | None = None
    """Whether the sensor receives the heart rate of a strap, which makes it more accurate."""
    heart_rate_bpm: Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")] = None
    """As received from the strap; ``null`` without a signal."""
    heat_strain_index: Annotated[float | None, quantity("1")] = None
    """From 0, for no strain, to 25.4, for that and more."""


def _state_of(raw: int) -> dict[str, Any]:
    quality = raw & 0x07
    return {
        "quality": _QUALITIES.get(quality, quality),
        "heart_rate_reception": _RECEPTIONS[raw >> 4 & 0x03],
    }


# Bits 3, 6 and 7 are reserved. Looking the others up takes a third of the time of decoding them.
_STATES = tuple(map(_state_of, range(0x40)))


def _state(raw: int) -> dict[str, Any]:
    return _STATES[raw & 0x3F]


def _celsius(raw: int) -> float | None:
    # A step of 0.01 deg F is 1/180 deg C: three decimals keep neighbouring values distinct.
    return None if raw == _NOT_AVAILABLE else round((raw - 3200) / 180, 3)


_CELSIUS = Wire("h", "s16", scaled(100, none=_NOT_AVAILABLE))
_FAHRENHEIT = Wire("h", "s16", _celsius)


# All fields are required. Ten bytes fit into any MTU, so the link never cuts a packet short, and
# healthd must not guess any part of a body temperature.
_TEMPERATURES = Layout(
    Field("core_temperature_c", _CELSIUS, no_bit(3), required=True),
    Field("core_temperature_c", _FAHRENHEIT, bit(3), required=True),
    Field("skin_temperature_c", _CELSIUS, both(bit(0), no_bit(3)), required=True),
    Field("skin_temperature_c", _FAHRENHEIT, both(bit(0), bit(3)), required=True),
    # Reserved by the maker: neither its meaning nor its unit is known.
    Field("", S16, bit(1), nothing, required=True),
    Field("", U8, bit(2), _state, required=True),
    Field("heart_rate_bpm", U8, bit(4), known_rate, required=True),
    Field("heat_strain_index", U8, bit(5), scaled(10, none=_NO_INDEX), required=True),
    flags=U8,
)


def decode_core_temperature(data: bytes) -> CoreTemperature:
    """Decode 2101: flags u8, core s16 (0.01 deg C or F, 7FFF: none), then by the flags.

    The flags announce: skin s16, reserved s16, quality and state u8, heart rate u8 (/min), heat
    strain index u8 (0.1).
    """
    return CoreTemperature.of(_TEMPERATURES.read(data))


# The maker says that it notifies while there is a measurement: a sensor that is not worn may be
# silent for any time, so no silence is too long.
PROFILE = Profile(
    name="core",
    service="00002100-5b1e-4347-b07c-97b514dae121",
    characteristics=(
        Characteristic(
            "00002101-5b1e-4347-b07c-97b514dae121",
            CoreTemperature,
            decode_core_temperature,
            Use.STREAM,
        ),
    ),
    names=("CORE", "CORE *"),
)
