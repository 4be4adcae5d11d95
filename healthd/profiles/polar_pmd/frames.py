"""PMD data (FB005C82): one frame of samples of one sensor.

Layout: type u8, time of the last sample u64 (ns since 2000-01-01), form u8 (bit 7: compressed,
the rest: frame type), samples to the end. Sources: the vendor's SDK and its PMD specification;
``tests/vectors`` names them one by one. The table ``_FORMS`` says how to read what follows the
head; other forms are passed on as hex.
"""

import struct
from typing import Annotated, Any, ClassVar

from healthd.profiles.packet.cursor import Truncated
from healthd.profiles.polar_pmd import kinds
from healthd.profiles.polar_pmd.compression import float_bits, whole_numbers
from healthd.profiles.polar_pmd.raw import (
    Read,
    floats,
    in_rows,
    lights,
    numbers,
    numbers_of_24_bits,
    pp_samples,
)
from healthd.samples import Measurement, quantity

_HEAD = struct.Struct("<BQB")
_COMPRESSED = 0x80


class Pmd(Measurement):
    """A frame as received: numbers that are not scaled, and not placed in time.

    Published only if the profile's state cannot make a measurement of it.
    """

    kind: ClassVar[str] = "pmd"
    schema_version: ClassVar[int] = 2

    measurement_type: str | int
    """A type without a name stays a number."""
    timestamp_ns: Annotated[int, quantity("ns")]
    """Time of the last sample by the sensor's clock, since 2000-01-01; 0 if it has none."""
    frame_type: Annotated[int, quantity("1")]
    compressed: bool
    samples_uv: Annotated[list[int] | None, quantity("uV", mdc=131328)] = None
    samples_raw: Annotated[list[list[int]] | None, quantity("1")] = None
    """One list of channels per sample."""
    samples_dps: Annotated[list[list[float | None]] | None, quantity("deg/s")] = None
    """One list of axes per sample, for a gyroscope that sends floats."""
    heart_rate_bpm: Annotated[list[int] | None, quantity("/min")] = None
    """0 if the sensor has none yet. With pulse-to-pulse intervals, one per interval."""
    pp_intervals_ms: Annotated[list[int] | None, quantity("ms")] = None
    error_ms: Annotated[list[int] | None, quantity("ms")] = None
    """The sensor's own estimate, one per interval."""
    blocker: list[bool] | None = None
    """True if the sensor moved or was not worn: the interval is not reliable."""
    skin_contact: list[bool] | None = None
    skin_contact_supported: list[bool] | None = None
    temperature_c: Annotated[list[float | None] | None, quantity("Cel")] = None
    pressure_hpa: Annotated[list[float | None] | None, quantity("hPa")] = None
    light_integrations: Annotated[list[int] | None, quantity("1")] = None
    """Settings of an optical sensor while it sampled, known only from the vendor's code: twelve
    numbers for each time it changed them; one in frame type 14."""
    light_gains_1: Annotated[list[int] | None, quantity("1")] = None
    light_gains_2: Annotated[list[int] | None, quantity("1")] = None
    operation_modes: Annotated[list[int] | None, quantity("1")] = None
    sport_ids: Annotated[list[int] | None, quantity("1")] = None
    payload_hex: str | None = None
    """Everything after the head, if its form has no public layout."""

    @property
    def values(self) -> list[Any]:
        """The samples, whatever their type; empty if the frame has none."""
        return (
            self.samples_uv
            or self.samples_raw
            or self.pp_intervals_ms
            or self.samples_dps
            or self.temperature_c
            or self.pressure_hpa
            or []
        )


def decode_data(data: bytes) -> Pmd:
    """Decode FB005C82: type u8, timestamp u64, form u8, then samples to the end."""
    try:
        number, timestamp_ns, form = _HEAD.unpack_from(data)
    except struct.error:
        raise Truncated(f"expected a head of {_HEAD.size} bytes, found {len(data)}") from None
    number &= kinds.TYPE_MASK
    payload = data[_HEAD.size :]
    fields: dict[str, Any] = {
        "measurement_type": kinds.WORDS.get(number, number),
        "timestamp_ns": timestamp_ns,
        "frame_type": form & ~_COMPRESSED,
        "compressed": form >= _COMPRESSED,
    }
    known = _FORMS.get((number, form))
    if known is None:
        fields["payload_hex"] = payload.hex()
        return Pmd.of(fields)
    key, read = known
    samples = read(payload)
    fields |= {key: samples.values} if key else samples.values
    if samples.truncated:
        fields["truncated"] = True
    elif surplus := len(payload) - samples.used:
        fields["trailing_bytes"] = surplus
    return Pmd.of(fields)


_AXES = 3
# The last channel is a set of status bits, except in form 0, where it is the ambient light.
_PPG_CHANNELS = {0: 4, 7: 17, 8: 25, 10: 21, 13: 3}

# The key of the values; empty if they are a dictionary of several keys.
_FORMS: dict[tuple[int, int], tuple[str, Read]] = {
    (kinds.ECG, 0): ("samples_uv", numbers_of_24_bits),
    (kinds.PPG, 0): ("samples_raw", in_rows(numbers_of_24_bits, 4, 3)),
    (kinds.PPG, 4): ("", lights(12)),
    (kinds.PPG, 5): ("operation_modes", numbers("I")),
    (kinds.PPG, 6): ("sport_ids", numbers("Q")),
    (kinds.PPG, 9): ("", lights(12)),
    (kinds.PPG, 14): ("", lights(1)),
    (kinds.ACCELERATION, 0): ("samples_raw", in_rows(numbers("b"), _AXES, 1)),
    (kinds.ACCELERATION, 1): ("samples_raw", in_rows(numbers("h"), _AXES, 2)),
    (kinds.ACCELERATION, 2): ("samples_raw", in_rows(numbers_of_24_bits, _AXES, 3)),
    (kinds.PP_INTERVAL, 0): ("", pp_samples),
    (kinds.SKIN_TEMPERATURE, 0): ("temperature_c", floats),
    (kinds.PRESSURE, 0): ("pressure_hpa", floats),
    (kinds.TEMPERATURE, 0): ("temperature_c", floats),
    (kinds.OFFLINE_HEART_RATE, 0): ("heart_rate_bpm", numbers("B")),
    **{
        (kinds.PPG, _COMPRESSED | form): ("samples_raw", whole_numbers(channels, 3))
        for form, channels in _PPG_CHANNELS.items()
    },
    (kinds.ACCELERATION, _COMPRESSED | 0): ("samples_raw", whole_numbers(_AXES, 2)),
    (kinds.ACCELERATION, _COMPRESSED | 1): ("samples_raw", whole_numbers(_AXES, 2)),
    (kinds.GYROSCOPE, _COMPRESSED | 0): ("samples_raw", whole_numbers(_AXES, 2)),
    (kinds.GYROSCOPE, _COMPRESSED | 1): ("samples_dps", float_bits(_AXES)),
    (kinds.MAGNETOMETER, _COMPRESSED | 0): ("samples_raw", whole_numbers(_AXES, 2)),
    # Three axes and the calibration status.
    (kinds.MAGNETOMETER, _COMPRESSED | 1): ("samples_raw", whole_numbers(_AXES + 1, 2)),
    (kinds.SKIN_TEMPERATURE, _COMPRESSED | 0): ("temperature_c", float_bits(1)),
    (kinds.PRESSURE, _COMPRESSED | 0): ("pressure_hpa", float_bits(1)),
    (kinds.TEMPERATURE, _COMPRESSED | 0): ("temperature_c", float_bits(1)),
}
