"""Health Thermometer service (0x1809). Layouts: GATT Specification Supplement."""

from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.resolution import decimals
from healthd.profiles.packet.wires import (
    DATE_TIME,
    FLOAT,
    U8,
    U16,
    Wire,
    float_exponent,
    medical_float,
    step_exponent,
    word,
)
from healthd.profiles.profile import Profile
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.samples import DeviceTimed, Measurement, quantity

TemperatureType = Literal[
    "armpit", "body", "ear", "finger", "gi", "mouth", "rectum", "toe", "tympanum"
]

_TYPES: dict[int, TemperatureType] = {
    1: "armpit",
    2: "body",
    3: "ear",
    4: "finger",
    5: "gi",
    6: "mouth",
    7: "rectum",
    8: "toe",
    9: "tympanum",
}


class BodyTemperature(DeviceTimed):
    """A finished measurement."""

    kind: ClassVar[str] = "body_temperature"
    retained: ClassVar[bool] = True

    temperature_c: Annotated[float | None, quantity("Cel", mdc=150364, loinc="8310-5")]
    temperature_type: TemperatureType | int | None = None
    """Where on the body; ``gi`` is the gastrointestinal tract. An unknown number stays a number."""


class IntermediateTemperature(BodyTemperature):
    """The temperature shown during a measurement, or what was sent instead of a result."""

    kind: ClassVar[str] = "intermediate_temperature"
    retained: ClassVar[bool] = False
    intermediate: ClassVar[bool] = True


class TemperatureSite(Measurement):
    """Where on the body a thermometer measures, if that is always the same place."""

    kind: ClassVar[str] = "temperature_site"

    temperature_type: TemperatureType | int


class MeasurementInterval(Measurement):
    """How often the thermometer measures without being asked."""

    kind: ClassVar[str] = "measurement_interval"

    measurement_interval_s: Annotated[int, quantity("s")]
    """0: it measures on demand only."""


_DIGITS = decimals(Fraction(5, 9))
# Tenths.
_USUAL_EXPONENT = -1
# A thermometer's number has seven digits, so with more decimals it is not a temperature of a body.
_MOST_DECIMALS = 6


def _celsius(raw: int) -> float | None:
    fahrenheit = medical_float(raw)
    if fahrenheit is None:
        return None
    digits = _DIGITS - step_exponent(float_exponent(raw), _USUAL_EXPONENT)
    return round((fahrenheit - 32) * 5 / 9, min(digits, _MOST_DECIMALS))


_FAHRENHEIT = Wire("I", "FLOAT", _celsius)


# All fields are required. 13 bytes fit into any MTU, so the link never cuts a packet short, and
# healthd must not guess any part of a body temperature.
_TEMPERATURE = Layout(
    Field("temperature_c", FLOAT, no_bit(0), required=True),
    Field("temperature_c", _FAHRENHEIT, bit(0), required=True),
    Field("device_time", DATE_TIME, bit(1), date_text, required=True),
    Field("temperature_type", U8, bit(2), word(_TYPES), required=True),
    flags=U8,
)
_SITE = Layout(Field("temperature_type", U8, meaning=word(_TYPES), required=True))
_INTERVAL = Layout(Field("measurement_interval_s", U16, required=True))


def decode_temperature(data: bytes) -> BodyTemperature:
    """Decode 2A1C: flags u8, FLOAT in deg C or F, then by the flags: date-time, type u8."""
    return BodyTemperature.of(_TEMPERATURE.read(data))


def decode_intermediate_temperature(data: bytes) -> IntermediateTemperature:
    """Decode 2A1E: as 2A1C."""
    return IntermediateTemperature.of(_TEMPERATURE.read(data))


def decode_temperature_type(data: bytes) -> TemperatureSite:
    """Decode 2A1D: type u8."""
    return TemperatureSite.of(_SITE.read(data))


def decode_measurement_interval(data: bytes) -> MeasurementInterval:
    """Decode 2A21: interval u16 (s)."""
    return MeasurementInterval.of(_INTERVAL.read(data))


# What 2A1C means by its flags, and what a thermometer for bodies shows, in use or not.
_KNOWN_FLAGS = 0x07
_POSSIBLE_C = (10, 50)


def _is_advertised(data: bytes) -> bool:
    """Return whether service data of a thermometer is a value of 2A1C.

    No specification says what it is. The Relsib WT51 sends text, the Relsib WH52 16 bytes, and
    devices with Espruino send one byte.
    """
    if not data or data[0] > _KNOWN_FLAGS or len(data) != _TEMPERATURE.size(data):
        return False
    celsius = decode_temperature(data).temperature_c
    return celsius is not None and _POSSIBLE_C[0] <= celsius <= _POSSIBLE_C[1]


def _phase(packet: BodyTemperature) -> Phase:
    return Phase.WITHOUT_RESULT if packet.temperature_c is None else Phase.FINISHED


def _intermediate(packet: BodyTemperature) -> IntermediateTemperature:
    return IntermediateTemperature.of(packet.fields())


# A thermometer that measures all the time sends once a second at most, and values may be equal.
_REPEAT_S = 0.9

# A thermometer for the mouth or the ear is put away between two measurements, and shows a result
# for less than a minute.
_AGAIN_S = 60.0

# Nothing is waited for: a thermometer sends intermediate values as a characteristic of their own.
_KIND = ResultKind(
    model=BodyTemperature,
    intermediate=_intermediate,
    phase=_phase,
    values=("temperature_c",),
    repeat_s=_REPEAT_S,
)


def _measurements(options: Options) -> Episodes:
    return Episodes(_KIND, options)


PROFILE = Profile(
    name="health_thermometer",
    service="1809",
    characteristics=(
        Characteristic("2a1c", BodyTemperature, decode_temperature, Use.STREAM),
        Characteristic(
            "2a1e",
            IntermediateTemperature,
            decode_intermediate_temperature,
            Use.STREAM,
            accompanies=True,
        ),
        Characteristic("2a1d", TemperatureSite, decode_temperature_type, Use.STATIC),
        Characteristic("2a21", MeasurementInterval, decode_measurement_interval, Use.STATIC),
    ),
    broadcasts=(
        Broadcast(
            "thermometer_2a1c",
            BodyTemperature,
            decode_temperature,
            Use.STREAM,
            keys=("service_data_1809", "service_data_2a1c"),
            fits=_is_advertised,
            again_s=_AGAIN_S,
        ),
    ),
    state=_measurements,
)
