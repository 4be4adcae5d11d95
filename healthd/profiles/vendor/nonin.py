"""Nonin 3230 and 3150 WristOx2, over Nonin's own service; the oximeter has to be bonded.

Newer ones have the standard service, too, which is used then.

Sources: andreasdri/nonin-3230-ble (index.js), Nonin's sample for Windows (NoninPulseOximetryService
in STAR), BluetoothLeNoninWristOx.java of Isansys, ble_nco_spec_decoder.swift of M. Villarroel. The
first two read only SpO2 and pulse, at the same places.
"""

import struct
from functools import lru_cache
from typing import Any

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.profile import Profile
from healthd.profiles.pulse_oximeter import PulseOximeter

# Big-endian, unlike those of other devices.
_LAYOUT = struct.Struct(">xBxHxxBH")
_GREATEST_SPO2, _NO_PULSE = 100, 511

# Of the status; the others are about the link and the battery.
_ATTACHED, _SEARCHING, _PASSED, _WEAK = 1 << 4, 1 << 3, 1 << 2, 1 << 1

# One value a second.
_SILENCE_S = 30.0


# A device has few states, and reports its state in every packet.
@lru_cache(maxsize=32)
def _words(status: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the measurement status and the device status."""
    device = {
        "signal_poor": status & _WEAK,
        "signal_analysing": status & _SEARCHING,
        "not_on_user": not status & _ATTACHED,
    }
    passed = ("fully_qualified",) if status & _PASSED else ()
    return passed, tuple(word for word, is_set in device.items() if is_set)


def decode_oximetry(data: bytes) -> PulseOximeter:
    """Decode 0AAD7EA0: size u8, status u8, battery u8 (0.1 V), pulse amplitude index u16 (0.01 %).

    Then counter u16, SpO2 u8 (%, 127: none), pulse u16 (/min, 511: none).
    """
    if len(data) < _LAYOUT.size:
        raise DecodeError(f"expected {_LAYOUT.size} bytes, found {len(data)}")
    status, amplitude, spo2, pulse = _LAYOUT.unpack_from(data)
    passed, device = _words(status)
    fields: dict[str, Any] = {
        "spo2_pct": spo2 if spo2 <= _GREATEST_SPO2 else None,
        "pulse_rate_bpm": pulse if pulse < _NO_PULSE else None,
        "measurement_status": passed,
        "device_status": device,
        "pulse_amplitude_index_pct": amplitude / 100,
    }
    if trailing := len(data) - _LAYOUT.size:
        fields["trailing_bytes"] = trailing
    return PulseOximeter.of(fields)


PROFILE = Profile(
    name="nonin",
    service="46a970e0-0d5f-11e2-8b5e-0002a5d5c51b",
    characteristics=(
        Characteristic(
            "0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b",
            PulseOximeter,
            decode_oximetry,
            Use.STREAM,
            _SILENCE_S,
        ),
    ),
    names=("nonin3230_*", "nonin3150_*"),
    gives_way_to=("1822",),
)
