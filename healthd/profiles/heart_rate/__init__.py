"""Heart Rate service (0x180D).

Layouts: Bluetooth Heart Rate Service 1.0 and the GATT Specification Supplement, checked against
captures of real straps (``tests/vectors``).
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Options, Profile, Timed, Use
from healthd.profiles.heart_rate.beats import Beats
from healthd.profiles.heart_rate.variability import HeartRateVariability, Variability
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.layout import Fact, Field, Layout, Tail, bit, no_bit
from healthd.profiles.packet.wires import U8, U16, number
from healthd.samples import Measurement, quantity

# A strap notifies once a second, so 30 values in a row are missing by then: too many for a short
# radio shadow, and as long as the stall that was reported of a Polar H7 whose link stayed up.
SILENCE_S = 30.0

RESET_ENERGY_EXPENDED = b"\x01"
"""What is written to 2A39 to set ``energy_expended_kj`` back to 0."""

_CONTACT_DETECTED = 0x02
_CONTACT_SUPPORTED = 0x04

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
    rr_offsets_ms: Annotated[list[float] | None, quantity("ms")] = None
    """When the beat that closes each interval was, against the sample's time: by summation."""
    heart_rate_zone: Annotated[int | None, quantity("1")] = None
    """How many of the settings' ``heart_rate_zones`` have begun; 0 is below the first."""


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


def _contact(flags: int) -> bool | None:
    # The contact bit means nothing without the one that says that it is supported.
    return bool(flags & _CONTACT_DETECTED) if flags & _CONTACT_SUPPORTED else None


def _intervals(rest: bytes) -> tuple[list[float], int]:
    # Whole intervals only: some straps send an odd byte behind the last one.
    count = len(rest) // 2
    return [raw * 1000 / 1024 for raw in struct.unpack_from(f"<{count}H", rest)], 2 * count


_MEASUREMENT = Layout(
    Field("heart_rate_bpm", U8, no_bit(0), number(none=0), required=True),
    Field("heart_rate_bpm", U16, bit(0), number(none=0), required=True),
    Field("energy_expended_kj", U16, bit(3)),
    flags=U8,
    facts=(
        Fact("sensor_contact_supported", lambda flags: bool(flags & _CONTACT_SUPPORTED)),
        Fact("sensor_contact_detected", _contact),
    ),
    tail=Tail("rr_intervals_ms", _intervals, bit(4)),
)


def decode_heart_rate(data: bytes) -> HeartRate:
    """2A37: flags u8, rate u8 or u16 (/min), energy u16 (kJ), RR u16 (1/1024 s) to the end."""
    return HeartRate.of(_MEASUREMENT.read(data))


def decode_body_sensor_location(data: bytes) -> BodySensorLocation:
    """2A38: location u8."""
    cursor = Cursor(data)
    number = cursor.u8()
    return BodySensorLocation.of(cursor.finish({"location": _LOCATIONS.get(number, number)}))


def decode_control_point(data: bytes) -> HeartRateControlPoint:
    """2A39: opcode u8; only 1 (reset energy expended) is defined."""
    cursor = Cursor(data)
    opcode = cursor.u8()
    fields: dict[str, Any] = {"opcode": opcode}
    if opcode == RESET_ENERGY_EXPENDED[0]:
        fields["name"] = "reset_energy_expended"
    return HeartRateControlPoint.of(cursor.finish(fields))


class HeartRateState:
    """Places the beats of one link in time, and derives what the settings ask for."""

    def __init__(self, options: Options) -> None:
        """Begin with no beat."""
        self._beats = Beats()
        self._zones = options.heart_rate_zones_bpm
        window_s = options.hrv_window_s
        self._variability = None if window_s is None else Variability(window_s)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """A heart rate with what is derived from it, behind the window that has just ended."""
        if not isinstance(measurement, HeartRate):
            return ()
        added: dict[str, Any] = {}
        ended = None if self._variability is None else self._variability.until(mono_ns)
        intervals_ms = measurement.rr_intervals_ms
        if measurement.heart_rate_bpm is None:
            self._beats.pause()
        if intervals_ms is not None:
            placed = self._beats.place(intervals_ms, mono_ns)
            added["rr_offsets_ms"] = placed.offsets_ms
            if self._variability is not None:
                self._variability.take(intervals_ms, follows=placed.follows)
        if self._zones:
            rate = measurement.heart_rate_bpm
            added["heart_rate_zone"] = None if rate is None else bisect_right(self._zones, rate)
        fuller = measurement.model_copy(update=added) if added else measurement
        beat = Timed(fuller, mono_ns)
        return (beat,) if ended is None else (ended, beat)


PROFILE = Profile(
    name="heart_rate",
    service="180d",
    characteristics=(
        Characteristic("2a37", HeartRate, decode_heart_rate, Use.STREAM, SILENCE_S),
        Characteristic("2a38", BodySensorLocation, decode_body_sensor_location, Use.STATIC),
        Characteristic("2a39", HeartRateControlPoint, decode_control_point, Use.CONTROL),
    ),
    state=HeartRateState,
    derived=(HeartRateVariability,),
)
