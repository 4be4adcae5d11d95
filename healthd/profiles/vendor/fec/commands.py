"""Encode commands of FE-C: keywords in, frames out.

Every function raises ValueError, naming the argument and its range, for a value that the page
cannot hold.
"""

import struct

from healthd.profiles.vendor.fec.frames import FRAME_BYTES, framed
from healthd.profiles.vendor.fec.pages import (
    BASIC_RESISTANCE,
    REQUEST,
    TARGET_POWER,
    TRACK,
    WIND,
    decode_page,
)

# FF means that a value is not given.
_MOST_U8 = 0xFE

# The highest target of the profile.
_MOST_W = 4000

# The page is sent until it is acknowledged, which is what SHIFTR and pycycling ask for.
_UNTIL_ACKNOWLEDGED, _DATA_PAGE = 0x80, 0x01

# The service counts wind in whole km/h, from -127.
_KMH_PER_MPS, _CALM = 3.6, 127

_STEEPEST_PCT = 200

# There is no other rider ahead: a factor of 1, in steps of 0.01.
_NO_DRAFTING = 100


def request_page(page: int) -> bytes:
    """Ask for a page."""
    return framed(bytes((REQUEST, *_unset(4), _UNTIL_ACKNOWLEDGED, page, _DATA_PAGE)))


def set_basic_resistance(*, resistance_level: float) -> bytes:
    """Set the resistance in % of the greatest one, in steps of 0.5 %."""
    steps = _whole("resistance_level", resistance_level, 2, (0, 200))
    return framed(bytes((BASIC_RESISTANCE, *_unset(6), steps)))


def set_target_power(*, power_w: float) -> bytes:
    """Set the power that the brake keeps, in steps of 0.25 W."""
    raw = _whole("power_w", power_w, 4, (0, 4 * _MOST_W))
    return framed(struct.pack("<B5sH", TARGET_POWER, bytes(_unset(5)), raw))


def set_wind(*, wind_speed_mps: float = 0, cw_kg_per_m: float = 0.51) -> bytes:
    """Set the air of a simulated road.

    Args:
        wind_speed_mps: head wind, in steps of 1 km/h; negative for a tail wind.
        cw_kg_per_m: coefficient of wind resistance, in steps of 0.01 kg/m.
    """
    coefficient = _whole("cw_kg_per_m", cw_kg_per_m, 100, (0, _MOST_U8))
    wind = _whole("wind_speed_mps", wind_speed_mps, _KMH_PER_MPS, (-_CALM, _CALM)) + _CALM
    return framed(bytes((WIND, *_unset(4), coefficient, wind, _NO_DRAFTING)))


def set_track(*, grade_pct: float, crr: float = 0.004) -> bytes:
    """Set the ground of a simulated road.

    Args:
        grade_pct: slope, in steps of 0.01 %.
        crr: coefficient of rolling resistance, in steps of 0.00005.
    """
    steepest = 100 * _STEEPEST_PCT
    grade = _whole("grade_pct", grade_pct, 100, (-steepest, steepest)) + steepest
    rolling = _whole("crr", crr, 20_000, (0, _MOST_U8))
    return framed(struct.pack("<B4sHB", TRACK, bytes(_unset(4)), grade, rolling))


def set_simulation(
    *, grade_pct: float, wind_speed_mps: float, crr: float, cw_kg_per_m: float
) -> bytes:
    """Set a whole road: the frames of its air and of its ground, see there."""
    wind = set_wind(wind_speed_mps=wind_speed_mps, cw_kg_per_m=cw_kg_per_m)
    return wind + set_track(grade_pct=grade_pct, crr=crr)


def road_of(frames: bytes) -> dict[str, float]:
    """Return the road in the frames of ``set_simulation``, as the trainer reads it."""
    wind, track = (decode_page(frame).fields() for frame in frames_in(frames))
    return {
        "grade_pct": track["target_grade_pct"],
        "wind_speed_mps": wind["wind_speed_mps"],
        "crr": track["crr"],
        "cw_kg_per_m": wind["cw_kg_per_m"],
    }


def frames_in(frames: bytes) -> tuple[bytes, bytes]:
    """Return the two frames of ``set_simulation``."""
    return frames[:FRAME_BYTES], frames[FRAME_BYTES:]


def _unset(count: int) -> tuple[int, ...]:
    return count * (0xFF,)


def _whole(name: str, value: float, per_unit: float, limits: tuple[int, int]) -> int:
    # NaN fails this comparison, too.
    if not limits[0] - 0.5 < value * per_unit < limits[1] + 0.5:
        lowest, highest = (limit / per_unit for limit in limits)
        raise ValueError(f"{name}: expected {lowest:.10g} to {highest:.10g}, found {value:.10g}")
    return round(value * per_unit)
