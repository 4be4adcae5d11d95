"""Heart Rate service (0x180D).

Layouts: Bluetooth Heart Rate Service 1.0 and the GATT Specification Supplement, checked against
captures of real straps (``tests/vectors``).
"""

from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Profile, Use
from healthd.profiles.cursor import Cursor, keeping
from healthd.samples import Measurement, quantity

# A strap notifies once a second, so 30 values in a row are missing by then: too many for a short
# radio shadow, and as long as the stall that was reported of a Polar H7 whose link stayed up.
SILENCE_S = 30.0

RESET_ENERGY_EXPENDED = b"\x01"
"""What is written to 2A39 to set ``energy_expended_kj`` back to 0."""

_WIDE_RATE = 0x01
_CONTACT_DETECTED = 0x02
_CONTACT_SUPPORTED = 0x04
_ENERGY = 0x08
_RR_INTERVALS = 0x10

BodyLocation = Literal["other", "chest", "wrist", "finger", "hand", "ear_lobe", "foot"]

_LOCATIONS: dict[int, BodyLocation] = {
    0: "other",
    1: "chest",
    2: "wrist",
    3: "finger",
    4: "hand",
    5: "ear_lobe",
    6: "foot",
}


class HeartRate(Measurement):
    """One notification of a heart-rate sensor."""

    kind: ClassVar[str] = "heart_rate"

    heart_rate_bpm: Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")]
    """None where the sensor sends 0: no signal, not a standstill of the heart."""
    sensor_contact_supported: bool
    sensor_contact_detected: bool | None
    """None where the sensor cannot tell."""
    energy_expended_kj: Annotated[int | None, quantity("kJ", mdc=8454263, loinc="41981-2")] = None
    """Counter since the last reset; stays at 65535 once it gets there."""
    rr_intervals_ms: Annotated[list[float] | None, quantity("ms", mdc=147240)] = None
    """Oldest first; empty where the packet promised intervals and no beat was complete."""


class BodySensorLocation(Measurement):
    """Where the sensor is worn."""

    kind: ClassVar[str] = "body_sensor_location"

    location: BodyLocation | int
    """A number that has no name here stays a number."""


class HeartRateControlPoint(Measurement):
    """A command to the sensor."""

    kind: ClassVar[str] = "heart_rate_control_point"

    opcode: Annotated[int, quantity("1")]
    name: Literal["reset_energy_expended"] | None = None
    """Absent for an opcode that has no name here."""


def decode_heart_rate(data: bytes) -> HeartRate:
    """2A37: flags u8, rate u8 or u16 (/min), energy u16 (kJ), RR u16 (1/1024 s) to the end."""
    cursor = Cursor(data)
    flags = cursor.u8()
    rate = cursor.u16() if flags & _WIDE_RATE else cursor.u8()
    supported = bool(flags & _CONTACT_SUPPORTED)
    fields: dict[str, Any] = {
        "heart_rate_bpm": rate or None,
        "sensor_contact_supported": supported,
        # The contact bit means nothing without the one that says that it is supported.
        "sensor_contact_detected": bool(flags & _CONTACT_DETECTED) if supported else None,
    }
    with keeping(fields):
        if flags & _ENERGY:
            fields["energy_expended_kj"] = cursor.u16()
        if flags & _RR_INTERVALS:
            # Whole intervals only: some straps send an odd byte behind the last one.
            count = cursor.remaining // 2
            fields["rr_intervals_ms"] = [cursor.u16() * 1000 / 1024 for _ in range(count)]
    return HeartRate(**cursor.finish(fields))


def decode_body_sensor_location(data: bytes) -> BodySensorLocation:
    """2A38: location u8."""
    cursor = Cursor(data)
    number = cursor.u8()
    return BodySensorLocation(**cursor.finish({"location": _LOCATIONS.get(number, number)}))


def decode_control_point(data: bytes) -> HeartRateControlPoint:
    """2A39: opcode u8; only 1 (reset energy expended) is defined."""
    cursor = Cursor(data)
    opcode = cursor.u8()
    fields: dict[str, Any] = {"opcode": opcode}
    if opcode == RESET_ENERGY_EXPENDED[0]:
        fields["name"] = "reset_energy_expended"
    return HeartRateControlPoint(**cursor.finish(fields))


PROFILE = Profile(
    name="heart_rate",
    service="180d",
    characteristics=(
        Characteristic("2a37", HeartRate, decode_heart_rate, Use.STREAM, SILENCE_S),
        Characteristic("2a38", BodySensorLocation, decode_body_sensor_location, Use.STATIC),
        Characteristic("2a39", HeartRateControlPoint, decode_control_point, Use.CONTROL),
    ),
)
