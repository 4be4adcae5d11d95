"""Requests to the PMD control point: encoders, and the exchange that starts streams."""

import struct

from healthd.errors import DecodeError
from healthd.profiles.dialogue import Exchange
from healthd.profiles.options import Options
from healthd.profiles.polar_pmd import kinds
from healthd.profiles.polar_pmd.control import (
    ALREADY,
    GET_SETTINGS,
    OK,
    SETTINGS,
    START,
    STOP,
    PmdControlPoint,
    decode_control,
)

# The lowest acceptable rates: a lower rate would lose more than the sensor's saved power is worth.
# Gait and posture have no frequencies above 20 Hz, so 50 Hz is enough; a pulse wave keeps its shape
# at 50 Hz; the direction of the earth's field changes only as fast as the wearer turns. A QRS
# complex would need more than the 130 Hz available. Temperature and pressure change slower than any
# rate.
_LEAST_HZ = {
    "ecg": 130,
    "ppg": 50,
    "acceleration": 50,
    "gyroscope": 50,
    "magnetometer": 10,
}
# The sensor sends intervals as they occur, so it has no rate or range to choose.
_WITHOUT_SETTINGS = frozenset({"pp_interval"})


def get_settings(kind: str) -> bytes:
    """Ask which rates, resolutions and ranges are available.

    Args:
        kind: one of ``kinds.STREAMS``; otherwise this and the other encoders raise ValueError.
    """
    return bytes([GET_SETTINGS, _number(kind)])


def start(
    kind: str,
    *,
    sample_rate_hz: int | None = None,
    resolution_bits: int | None = None,
    range_max: int | None = None,
    range_max_milli: int | None = None,
    channels: int | None = None,
) -> bytes:
    """Ask for a stream, with one value for each setting that the sensor offers.

    Args:
        kind: one of ``kinds.STREAMS``.
        sample_rate_hz: 0 to 65535.
        resolution_bits: 0 to 65535.
        range_max: largest value in the type's own unit, 0 to 65535.
        range_max_milli: the same in thousandths, 0 to 4294967295.
        channels: 0 to 255.

    Raises:
        ValueError: a value is out of range, or the kind is unknown.
    """
    chosen = (
        ("sample_rates_hz", "sample_rate_hz", sample_rate_hz),
        ("resolutions_bits", "resolution_bits", resolution_bits),
        ("ranges", "range_max", range_max),
        ("ranges_milli", "range_max_milli", range_max_milli),
        ("channels", "channels", channels),
    )
    settings = (_setting(key, name, value) for key, name, value in chosen if value is not None)
    return bytes([START, _number(kind)]) + b"".join(settings)


def stop(kind: str) -> bytes:
    """Ask to stop a stream: an H10 that keeps streaming drains its battery."""
    return bytes([STOP, _number(kind)])


def open_streams(options: Options) -> Exchange:
    """Start every stream that the settings name, except those that the sensor refuses.

    From what the sensor offers, choose the lowest rate that is enough for the measurement (the rate
    costs power, on both sides), the largest range (clipped values are lost), and the highest
    resolution and number of channels. A stream that already runs is restarted, because only the
    answer to a start contains the factor of its numbers.

    Raises:
        ValueError: the settings name a kind that is not in ``kinds.STREAMS``.
    """
    for kind in options.pmd:
        choice: dict[str, int] = {}
        if kind not in _WITHOUT_SETTINGS:
            offered = _read((yield get_settings(kind)), GET_SETTINGS)
            if offered.status != OK:
                continue
            choice = _choose(kind, offered)
        request = start(kind, **choice)
        if _read((yield request), START).status == ALREADY:
            yield stop(kind)
            yield request


def close_streams(options: Options) -> list[bytes]:
    """Stop the streams of `open_streams`: a sensor that keeps streaming drains its battery."""
    return [stop(kind) for kind in options.pmd]


def _choose(kind: str, offered: PmdControlPoint) -> dict[str, int]:
    choice: dict[str, int] = {}
    if rates := offered.sample_rates_hz:
        enough = [rate for rate in rates if rate >= _LEAST_HZ.get(kind, 0)]
        choice["sample_rate_hz"] = min(enough, default=max(rates))
    largest = {
        "resolution_bits": offered.resolutions_bits,
        "range_max": offered.ranges,
        "range_max_milli": offered.ranges_milli,
        "channels": offered.channels,
    }
    return choice | {name: max(values) for name, values in largest.items() if values}


def _read(answer: bytes, opcode: int) -> PmdControlPoint:
    """Return the answer to the request; anything else counts as refused, without a status."""
    try:
        read = decode_control(answer)
    except DecodeError:
        return PmdControlPoint()
    return read if read.request_opcode == opcode else PmdControlPoint()


def _number(kind: str) -> int:
    try:
        return kinds.STREAMS[kind]
    except KeyError:
        known = ", ".join(kinds.STREAMS)
        raise ValueError(f"kind: expected one of {known}, found {kind!r}") from None


def _setting(key: str, name: str, value: int) -> bytes:
    number, code = SETTINGS[key]
    try:
        return struct.pack(f"<BB{code}", number, 1, value)
    except struct.error:
        largest = (1 << 8 * struct.calcsize(f"<{code}")) - 1
        raise ValueError(f"{name}: expected 0 to {largest}, found {value}") from None
