"""What devices that only advertise send: written from the layouts, without healthd's code."""

import struct
from datetime import datetime

from tests.system.guest.broadcasters import FLAGS, manufacturer_data, service_data

_KEISER, _XIAOMI = 0x0102, 0x0157
_WEIGHT_SCALE, _THERMOMETER, _BAND = 0x181D, 0x1809, 0xFEE0
# Mi Scale: a time follows, the weight is stable, the load was removed.
_DATED, _STABLE, _REMOVED = 0x02, 0x20, 0x80
_PER_KG = 200
# Of the M Series: version 6.30, real time, bike 5; km.
_M3 = bytes([6, 0x30, 0, 5])
_METRIC = 1 << 15


def weight(kg: float, at: datetime, *, stable: bool, removed: bool = False) -> bytes:
    """Return what a Mi Scale advertises.

    Args:
        kg: the weight that it shows.
        at: its clock.
        stable: whether the weight no longer changes.
        removed: whether the person has stepped off.
    """
    flags = _DATED | _STABLE * stable | _REMOVED * removed
    data = struct.pack("<BH", flags, round(kg * _PER_KG))
    data += struct.pack("<HBBBBB", *at.timetuple()[:6])
    return FLAGS + service_data(_WEIGHT_SCALE, data)


def weighing(kg: float, at: datetime, *, times: int) -> list[bytes]:
    """Return a whole weighing: half of it settling, and a quarter each stable and removed."""
    settling = [
        weight(kg * (0.5 + number / times), at, stable=False) for number in range(times // 2)
    ]
    stable = [weight(kg, at, stable=True)] * (times // 4)
    return settling + stable + [weight(kg, at, stable=True, removed=True)] * (times // 4)


def ride(watts: int) -> bytes:
    """Return what a Keiser bike advertises at this power; see ``rate_on_bike``.

    It has no flags, so it is not discoverable, as many beacons are not.
    """
    rates = (800, 10 * rate_on_bike(watts))
    shown = struct.pack("<HHHHBBHB", *rates, watts, 12, 3, watts % 60, _METRIC | 7, 10)
    return manufacturer_data(_KEISER, _M3 + shown)


def rate_on_bike(watts: int) -> int:
    """Return the heart rate that belongs to a power, in beats per minute."""
    return 60 + watts % 100


def band_heart_rate(bpm: int) -> bytes:
    """Return what a Mi Band advertises while it shares the heart rate."""
    return manufacturer_data(_XIAOMI, bytes([2, 0, 0, bpm]) + bytes(20))


def band_steps(steps: int) -> bytes:
    """Return what a Mi Band advertises besides: its steps."""
    return FLAGS + service_data(_BAND, struct.pack("<HH", steps, 0))


def temperature(tenths_c: int) -> bytes:
    """Return a thermometer's Temperature Measurement: no flags, and an IEEE 11073 FLOAT."""
    value = struct.pack("<B", 0) + tenths_c.to_bytes(3, "little") + b"\xff"
    return FLAGS + service_data(_THERMOMETER, value)
