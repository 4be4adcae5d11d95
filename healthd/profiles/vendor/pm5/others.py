"""What is not a plain packet: the force curve 003d, 0080 as a whole, the machine, the rate.

The sources are those of `packets`; that a curve comes in packets of 20 bytes on any link is from
openrowingmonitor, issue 69.
"""

import struct

from healthd.errors import DecodeError
from healthd.profiles.dialogue import Exchange
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.wires import scaled
from healthd.profiles.vendor.pm5 import words
from healthd.profiles.vendor.pm5.models import (
    Ergometer,
    ErgometerForceCurve,
    ErgometerMachine,
    ErgometerSampleRate,
)
from healthd.profiles.vendor.pm5.packets import MULTIPLEXED
from healthd.samples import Measurement

RATES_S = {3: 0.1, 2: 0.25, 1: 0.5, 0: 1.0}
"""What can be written to 0034, the fastest rate first, and the seconds between two packets."""

_NEWTONS = scaled(10**13, factor=44_482_216_152_605)
_CURVE = 0x3D
# The heart-rate belt, and two that are not in the document: the monitor sends one of them as often
# as it sends its status.
_IGNORED = frozenset({0x3B, 0x3E, 0x3F})
_NOTHING = Ergometer()


def decode_force_curve(data: bytes) -> ErgometerForceCurve:
    """Decode 003D: packets u4 (high), values u4, number u8 from 0, values u16 (lbf)."""
    cursor = Cursor(data)
    head, packet = cursor.u8(), cursor.u8()
    packets, count = head >> 4, head & 0x0F
    if packet >= packets or not count:
        raise DecodeError(f"packet {packet} of {packets}, with {count} values")
    values = struct.unpack(f"<{count}H", cursor.read_bytes(2 * count))
    fields = {"forces_n": [*map(_NEWTONS, values)], "packets": packets, "packet": packet}
    return ErgometerForceCurve.of(cursor.finish(fields))


def decode_multiplexed(data: bytes) -> Measurement:
    """Decode 0080: identifier u8, then a packet that is the same as, or similar to, that one's.

    What healthd does not read becomes an ``Ergometer`` without values.
    """
    if not data:
        raise DecodeError("offset 0: expected an identifier, found 0 bytes")
    identifier, packet = data[0], data[1:]
    if identifier == _CURVE:
        return decode_force_curve(packet)
    if decode := MULTIPLEXED.get(identifier):
        return decode(packet)
    if identifier in _IGNORED:
        return _NOTHING
    raise DecodeError(f"unknown identifier {identifier:02x}")


def decode_machine(data: bytes) -> ErgometerMachine:
    """Decode 0016: machine u8."""
    cursor = Cursor(data)
    raw = cursor.u8()
    return ErgometerMachine.of(cursor.finish({"machine": words.MACHINES.get(raw, raw)}))


def decode_sample_rate(data: bytes) -> ErgometerSampleRate:
    """Decode 0034: rate u8."""
    cursor = Cursor(data)
    raw = cursor.u8()
    if raw not in RATES_S:
        raise DecodeError(f"unknown rate {raw}")
    return ErgometerSampleRate.of(cursor.finish({"interval_s": RATES_S[raw]}))


def set_rate(options: Options) -> Exchange:
    """Yield the request for the rate of the settings, or for the next slower one that exists."""
    wanted_s = options.interval_s
    if wanted_s is not None:
        slower = (raw for raw, interval_s in RATES_S.items() if interval_s >= wanted_s)
        yield bytes((next(slower, 0),))
