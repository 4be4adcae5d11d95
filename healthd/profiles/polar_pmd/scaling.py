"""Makes published frames of decoded ones: scaled, with one list per channel."""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.resolution import decimals
from healthd.profiles.polar_pmd.frames import Pmd
from healthd.profiles.polar_pmd.raw import nine_digits
from healthd.profiles.polar_pmd.streams import (
    Acceleration,
    Ecg,
    Frame,
    Gyroscope,
    Magnetometer,
    Ppg,
    PpInterval,
    Pressure,
    SkinTemperature,
    Temperature,
)

# A millionth of any unit is far below a sensor's noise.
_MOST_DECIMALS = 6
# The cached factors; a hostile device could send any number of them.
_FACTORS = 32
_STATUS = 0xFFFFFF

Make = Callable[[Pmd, float, dict[str, Any]], Frame]
"""Makes a published frame of a decoded one, its factor, and the fields that all frames share."""


def _ecg(frame: Pmd, _: float, shared: dict[str, Any]) -> Frame:
    return Ecg(ecg_uv=frame.values, **shared)


def _acceleration(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    # Compressed frames of form 0 are in g; all others are in mg.
    scale = factor * 1000 if frame.compressed and frame.frame_type == 0 else factor
    x, y, z = (_scaled(axis, scale) for axis in _channels(frame))
    return Acceleration(x_mg=x, y_mg=y, z_mg=z, **shared)


def _gyroscope(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    scaled = _scaled if frame.samples_dps is None else _floats
    x, y, z = (scaled(axis, factor) for axis in _channels(frame))
    return Gyroscope(x_dps=x, y_dps=y, z_dps=z, **shared)


def _magnetometer(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    # Form 1 is in milligauss.
    scale = factor / 1000 if frame.frame_type == 1 else factor
    *axes, last = _channels(frame)
    if frame.frame_type == 1:
        shared = {**shared, "calibration_status": last}
    else:
        axes.append(last)
    x, y, z = (_scaled(axis, scale) for axis in axes)
    return Magnetometer(x_gauss=x, y_gauss=y, z_gauss=z, **shared)


def _ppg(frame: Pmd, _: float, shared: dict[str, Any]) -> Frame:
    *lights, last = _channels(frame)
    if frame.frame_type == 0:
        return Ppg(channels=lights, ambient=last, **shared)
    return Ppg(channels=lights, status=[bits & _STATUS for bits in last], **shared)


def _pp_interval(frame: Pmd, _: float, shared: dict[str, Any]) -> Frame:
    contacts = zip(frame.skin_contact or (), frame.skin_contact_supported or (), strict=True)
    return PpInterval(
        pp_intervals_ms=frame.pp_intervals_ms or [],
        error_ms=frame.error_ms or [],
        blocker=frame.blocker or [],
        skin_contact=[contact if supported else None for contact, supported in contacts],
        heart_rate_bpm=[known_rate(rate) for rate in frame.heart_rate_bpm or ()],
        **shared,
    )


def _skin_temperature(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return SkinTemperature(temperature_c=_floats(frame.values, factor), **shared)


def _temperature(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return Temperature(temperature_c=_floats(frame.values, factor), **shared)


def _pressure(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return Pressure(pressure_hpa=_floats(frame.values, factor), **shared)


def _channels(frame: Pmd) -> list[list[Any]]:
    return [list(channel) for channel in zip(*frame.values, strict=True)]


def _scaled(values: list[Any], factor: float) -> list[Any]:
    if factor == 1:
        return values
    if not (digits := _digits(factor)):
        # A great factor: of the product, only the digits that a 4-byte float has are certain.
        return _floats(values, factor)
    return [round(value * factor, digits) for value in values]


@lru_cache(maxsize=_FACTORS)
def _digits(factor: float) -> int:
    # With the digits of a 4-byte float, without those of the multiplication.
    step = abs(Fraction(nine_digits(factor)))
    return min(decimals(step), _MOST_DECIMALS) if step else 0


def _floats(values: list[Any], factor: float) -> list[Any]:
    if factor == 1:
        return values
    return [None if value is None else float(nine_digits(value * factor)) for value in values]


MAKE: dict[str, Make] = {
    "ecg": _ecg,
    "acc": _acceleration,
    "gyro": _gyroscope,
    "magnetometer": _magnetometer,
    "ppg": _ppg,
    "ppi": _pp_interval,
    "skin_temp": _skin_temperature,
    "temperature": _temperature,
    "pressure": _pressure,
}
"""By PMD's name of the type."""
