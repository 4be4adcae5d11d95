"""Core temperature that sensors of CORE put into their advertisements.

Source: the maker's "CORE Connectivity Implementation Notes" V3.1 (2024-08-08).
"""

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.core import CoreTemperature

# It measures every ten seconds; six in a row are missing by then.
SILENCE_S = 60.0

_SIZE = 4
_VERSION = 0
_STATE = 0x0F
_MEASURING = 4


def _is_core(data: bytes) -> bool:
    return len(data) == _SIZE and data[0] == _VERSION


def decode_core(data: bytes) -> CoreTemperature:
    """Decode manufacturer data F60B: version u8, state u8 (bits 0-3: 4 measures), u16 0.001 deg C.

    A temperature of 0 is none.
    """
    if not _is_core(data):
        raise DecodeError(f"expected {_SIZE} bytes of version {_VERSION}")
    raw = int.from_bytes(data[2:], "little") if data[1] & _STATE == _MEASURING else 0
    return CoreTemperature.of({"core_temperature_c": raw / 1000 if raw else None})


PROFILE = Profile(
    name="core_broadcast",
    broadcasts=(
        Broadcast(
            "core_broadcast",
            CoreTemperature,
            decode_core,
            Use.STREAM,
            SILENCE_S,
            keys=("manufacturer_data_f60b",),
            fits=_is_core,
        ),
    ),
)
