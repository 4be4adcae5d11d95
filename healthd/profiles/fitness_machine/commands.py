"""Encode requests to a Fitness Machine Control Point (0x2AD9): keywords in, bytes out.

Before any other request, ``REQUEST_CONTROL`` has to be written and answered with success.
Indications have to be on, or BlueZ reports ATT error 0x80. Every function raises ValueError, naming
the argument and its range, for a value that the packet cannot hold. Machines accept less: see their
ranges (2AD4 to 2AD8) and the results that they answer.
"""

import struct
from collections.abc import Callable

from healthd.profiles.fitness_machine.levels import HIGHEST_PCT, share_of

Write = Callable[..., bytes]
"""One of the functions below, or its replacement for a certain machine."""

REQUEST_CONTROL = b"\x00"
RESET = b"\x01"
START_OR_RESUME = b"\x07"
STOP = b"\x08\x01"

_U8 = (0, 0xFF)
_S16 = (-0x8000, 0x7FFF)
_U16 = (0, 0xFFFF)

# Opcodes by the number of heart-rate zones.


def set_target_speed(*, speed_mps: float) -> bytes:
    """Set the speed, in steps of 0.01 km/h."""
    return struct.pack("<BH", 0x02, _whole("speed_mps", speed_mps, 360, _U16))


def set_target_inclination(*, inclination_pct: float) -> bytes:
    """Set the inclination, in steps of 0.1 %."""
    return struct.pack("<Bh", 0x03, _whole("inclination_pct", inclination_pct, 10, _S16))


def set_target_inclination_in_levels(*, inclination_pct: float) -> bytes:
    """Set the inclination of a treadmill that takes it as a share of 15 levels (`levels`).

    Between two levels it is the lower one: the treadmill would round 3.9 % up to 4 %.
    """
    tenths = _whole("inclination_pct", inclination_pct, 10, (0, 10 * HIGHEST_PCT))
    return struct.pack("<Bh", 0x03, share_of(tenths // 10))


def set_target_resistance(*, resistance_level: float, narrow: bool = False) -> bytes:
    """Set the resistance, in steps of 0.1 of a level.

    Args:
        resistance_level: the level that the machine shows.
        narrow: whether to send one byte, as in the service's first edition, instead of two. Tacx
            Flux accepts only two.
    """
    if narrow:
        return struct.pack("<BB", 0x04, _whole("resistance_level", resistance_level, 10, _U8))
    return struct.pack("<Bh", 0x04, _whole("resistance_level", resistance_level, 10, _S16))


def set_target_power(*, power_w: int) -> bytes:
    """Set the power that the trainer's brake keeps, whatever the cadence."""
    return struct.pack("<Bh", 0x05, _whole("power_w", power_w, 1, _S16))


def set_simulation(
    *, grade_pct: float, wind_speed_mps: float = 0, crr: float = 0.004, cw_kg_per_m: float = 0.51
) -> bytes:
    """Set the road that a bike trainer simulates.

    Args:
        grade_pct: slope, in steps of 0.01 %.
        wind_speed_mps: head wind, in steps of 0.001 m/s; negative for a tail wind.
        crr: coefficient of rolling resistance, in steps of 0.0001; Zwift writes 0.004.
        cw_kg_per_m: coefficient of wind resistance, in steps of 0.01 kg/m; Zwift writes 0.51.
    """
    return struct.pack(
        "<BhhBB",
        0x11,
        _whole("wind_speed_mps", wind_speed_mps, 1000, _S16),
        _whole("grade_pct", grade_pct, 100, _S16),
        _whole("crr", crr, 10000, _U8),
        _whole("cw_kg_per_m", cw_kg_per_m, 100, _U8),
    )


def _whole(name: str, value: float, per_unit: float, limits: tuple[int, int]) -> int:
    # Within half a step of a limit, it is written as that limit: decoded limits are rounded. NaN
    # fails this comparison too.
    if not limits[0] - 0.5 < value * per_unit < limits[1] + 0.5:
        lowest, highest = (limit / per_unit for limit in limits)
        raise ValueError(f"{name}: expected {lowest:.10g} to {highest:.10g}, found {value:.10g}")
    return round(value * per_unit)
