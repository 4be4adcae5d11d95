"""Heart Rate service (0x180D).

Layouts: Bluetooth Heart Rate Service 1.0 and the GATT Specification Supplement, checked against
captures of real straps (``tests/vectors``).
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.heart_rate.beats import Beats
from healthd.profiles.heart_rate.variability import HeartRateVariability, Variability
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.layout import Fact, Field, Layout, Tail, bit, no_bit
from healthd.profiles.packet.wires import U8, U16, number, scaled
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

# A strap notifies once a second, so 30 values in a row are missing by then: too many for a short
# loss of the radio, and as long as the reported stall of a Polar H7 whose link stayed up.
SILENCE_S = 30.0

RESET_ENERGY_EXPENDED = b"\x01"
"""Written to 2A39 to reset ``energy_expended_kj`` to 0."""

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
    """``null`` if the sensor has no signal: it sends 0, or 255 in one byte."""
    sensor_contact_supported: bool
    sensor_contact_detected: bool | None
    """``null`` if the sensor cannot detect contact."""
    energy_expended_kj: Annotated[int | None, quantity("kJ", mdc=8454263, loinc="41981-2")] = None
    """A counter since the last reset; stays at 65535 when it gets there."""
    rr_intervals_ms: Annotated[list[float] | None, quantity("ms", mdc=147240)] = None
    """Oldest first; empty if the packet announced intervals but no beat was complete. Sent in
    1/1024 s: one decimal keeps neighbouring values distinct."""
    rr_offsets_ms: Annotated[list[float] | None, quantity("ms")] = None
    """The time of the beat that ends each interval, relative to the sample's time. Computed as the
    sum of the intervals; absent if they are longer than two minutes together."""
    heart_rate_zone: Annotated[int | None, quantity("1")] = None
    """The zone of the settings' ``heart_rate_zones``, counted from 1; 0 is below the first."""


class BodySensorLocation(Measurement):
    """Where the sensor is worn."""

    kind: ClassVar[str] = "body_sensor_location"

    location: BodyLocation | int
    """A number without a name here stays a number."""


class HeartRateControlPoint(Measurement):
    """A command to the sensor."""

    kind: ClassVar[str] = "heart_rate_control_point"

    opcode: Annotated[int, quantity("1")]
    name: Literal["reset_energy_expended"] | None = None
    """Absent for an opcode without a name here."""


def _contact(flags: int) -> bool | None:
    # The contact bit is only valid together with the "supported" bit.
    return bool(flags & _CONTACT_DETECTED) if flags & _CONTACT_SUPPORTED else None


_MILLISECONDS = scaled(1024, factor=1000)


def _intervals(rest: bytes) -> tuple[list[float], int]:
    # Whole intervals only: some straps send one extra byte after the last one.
    count = len(rest) // 2
    return [*map(_MILLISECONDS, struct.unpack_from(f"<{count}H", rest))], 2 * count


_MEASUREMENT = Layout(
    Field("heart_rate_bpm", U8, no_bit(0), known_rate, required=True),
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
    """Decode 2A37: flags u8, rate u8 or u16 (/min), then by the flags.

    The flags announce: energy u16 (kJ), and RR intervals u16 (1/1024 s) up to the end.
    """
    return HeartRate.of(_MEASUREMENT.read(data))


def decode_body_sensor_location(data: bytes) -> BodySensorLocation:
    """Decode 2A38: location u8."""
    cursor = Cursor(data)
    number = cursor.u8()
    return BodySensorLocation.of(cursor.finish({"location": _LOCATIONS.get(number, number)}))


def decode_control_point(data: bytes) -> HeartRateControlPoint:
    """Decode 2A39: opcode u8; only 1 (reset energy expended) is defined."""
    cursor = Cursor(data)
    opcode = cursor.u8()
    fields: dict[str, Any] = {"opcode": opcode}
    if opcode == RESET_ENERGY_EXPENDED[0]:
        fields["name"] = "reset_energy_expended"
    return HeartRateControlPoint.of(cursor.finish(fields))


def with_zone(options: Options, measurement: Measurement) -> Measurement:
    """Return a heart rate with its zone of the settings; anything else as it is."""
    zones = options.heart_rate_zones_bpm
    if not zones or not isinstance(measurement, HeartRate):
        return measurement
    return measurement.model_copy(update=_zone(zones, measurement.heart_rate_bpm))


def _zone(zones: tuple[int, ...], bpm: int | None) -> dict[str, Any]:
    return {"heart_rate_zone": None if bpm is None else bisect_right(zones, bpm)}


class HeartRateState:
    """Computes the times of heart beats and the derived values, during one link."""

    def __init__(self, options: Options) -> None:
        """Start without a beat."""
        self._beats = Beats()
        self._zones = options.heart_rate_zones_bpm
        window_s = options.hrv_window_s
        self._variability = None if window_s is None else Variability(window_s)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return a heart rate with its derived values, after the window that ended before it."""
        if not isinstance(measurement, HeartRate):
            return ()
        added: dict[str, Any] = {}
        ended = None if self._variability is None else self._variability.until(mono_ns)
        intervals_ms = measurement.rr_intervals_ms
        if measurement.heart_rate_bpm is None:
            self._beats.pause()
        if intervals_ms is not None:
            placed = self._beats.place(intervals_ms, mono_ns)
            if placed.offsets_ms is not None:
                added["rr_offsets_ms"] = placed.offsets_ms
            if self._variability is not None:
                self._variability.add(intervals_ms, follows=placed.follows)
        if self._zones:
            added |= _zone(self._zones, measurement.heart_rate_bpm)
        extended = measurement.with_derived(added) if added else measurement
        rate = Timed(extended, mono_ns)
        return (rate,) if ended is None else (ended, rate)


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
