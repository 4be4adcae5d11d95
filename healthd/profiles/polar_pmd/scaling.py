"""Makes published frames of decoded ones: scaled, with one list per channel."""

from collections.abc import Callable
from typing import Any

from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.polar_pmd.frames import Pmd
from healthd.profiles.polar_pmd.raw import decimal
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

# A millionth of any unit is far below a sensor's noise, and six decimals keep the payload short:
# products have up to seventeen digits.
_DECIMALS = 6
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
    scaled = _scaled if frame.samples_dps is None else _decimals
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
    beats = frame.samples or []
    return PpInterval(
        pp_intervals_ms=[beat.pp_ms for beat in beats],
        error_ms=[beat.error_ms for beat in beats],
        blocker=[beat.blocker for beat in beats],
        skin_contact=[beat.skin_contact if beat.skin_contact_supported else None for beat in beats],
        heart_rate_bpm=[known_rate(beat.heart_rate_bpm) for beat in beats],
        **shared,
    )


def _skin_temperature(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return SkinTemperature(temperature_c=_decimals(frame.values, factor), **shared)


def _temperature(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return Temperature(temperature_c=_decimals(frame.values, factor), **shared)


def _pressure(frame: Pmd, factor: float, shared: dict[str, Any]) -> Frame:
    return Pressure(pressure_hpa=_decimals(frame.values, factor), **shared)


def _channels(frame: Pmd) -> list[list[Any]]:
    return [list(channel) for channel in zip(*frame.values, strict=True)]


def _scaled(values: list[Any], factor: float) -> list[Any]:
    return values if factor == 1 else [round(value * factor, _DECIMALS) for value in values]


def _decimals(values: list[Any], factor: float) -> list[Any]:
    """Return the decimals that 4-byte floats were made from, multiplied by the factor."""
    return [None if value is None else decimal(value) * factor for value in values]


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
