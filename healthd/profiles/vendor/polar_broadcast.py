"""Heart rate that straps and watches of Polar put into their advertisements.

Sources: the maker's polar-ble-sdk (BleAdvertisementContent and BlePolarHrAdvertisement, for Android
and iOS; issues 131 and 305), polar_multi_hr for the H10, ble_monitor issue 985, and a tool for the
Vantage watches that agrees with them.
"""

from typing import Any

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.heart_rate import SILENCE_S, HeartRate, with_zone
from healthd.profiles.profile import Profile

# Bits of the first byte of a block. Bits 2 to 4 count heart rates, so that a new one that is equal
# to the last is different data. Bit 0 says something about the battery, but the maker's code and
# the tests of that code do not agree on what.
_OTHER_DATA = 0x40
_CONTACT = 0x02

# Without and with the second average.
_HEART_RATE_SIZES = (3, 4)


def _heart_rate_block(data: bytes) -> bytes:
    """Return the block with the heart rate; empty if there is none.

    Blocks with other data come first: flags u8, size u8, that many bytes.
    """
    start = 0
    while start + 1 < len(data) and data[start] & _OTHER_DATA:
        start += 2 + data[start + 1]
    block = data[start:]
    return block if len(block) in _HEART_RATE_SIZES else b""


def _is_heart_rate(data: bytes) -> bool:
    return bool(_heart_rate_block(data))


def decode_heart_rate(data: bytes) -> HeartRate:
    """Decode manufacturer data 006B: blocks with other data, then flags u8, u8, rates u8 and u8.

    The rates (/min) are averages, over a short and a long time. Old straps, armbands and watches
    send only the first. As in the maker's own apps, the last one is the heart rate.
    """
    block = _heart_rate_block(data)
    if not block:
        raise DecodeError("expected a block with a heart rate")
    # Armbands and watches send other data first. They cannot detect contact: their bit is always 1.
    is_strap = len(block) == len(data)
    fields: dict[str, Any] = {
        "heart_rate_bpm": known_rate(block[-1]),
        "sensor_contact_supported": is_strap,
        "sensor_contact_detected": bool(block[0] & _CONTACT) if is_strap else None,
    }
    return HeartRate.of(fields)


PROFILE = Profile(
    name="polar_broadcast",
    broadcasts=(
        Broadcast(
            "polar_broadcast",
            HeartRate,
            decode_heart_rate,
            Use.STREAM,
            SILENCE_S,
            keys=("manufacturer_data_006b",),
            fits=_is_heart_rate,
        ),
    ),
    correct=with_zone,
)
