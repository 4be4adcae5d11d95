"""What the ring measures now, in both forms."""

from typing import NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.battery import Battery, known_level
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.vendor.o2ring.framing import SENSORS_SIZE, is_real_time

_WORN, _CHARGING = 1, 1
_GREATEST_SPO2 = 100
# The ring measures 30 to 250 per minute. 255 and 65535 stand for none, as in stored records.
_NO_PULSE = frozenset({0, 0xFF, 0xFFFF})
_NO_PERFUSION = 0xFF


class Live(NamedTuple):
    """One answer: what was measured, whether the ring is worn, and its battery."""

    oximetry: PulseOximeter
    worn: bool
    battery: Battery


def known_spo2(raw: int) -> float | None:
    """Return an SpO2 in percent; None if the ring has none."""
    return float(raw) if 0 < raw <= _GREATEST_SPO2 else None


def known_pulse(raw: int) -> float | None:
    """Return a pulse rate, in /min; None if the ring has none."""
    return None if raw in _NO_PULSE else float(raw)


def decode_live(data: bytes) -> Live:
    """Decode live values in the form that they have.

    Newer firmware: SpO2 u8 (%), pulse u16 (/min), battery u8 (%), charging u8, perfusion index u8
    (0.1 %), worn u8, 3 bytes, length u16, pulse wave. Old firmware: SpO2 u8, pulse u16, 4 bytes,
    battery u8, charging u8, movement u8, perfusion index u8, worn u8, 1 byte.

    Raises:
        DecodeError: it has neither form.
    """
    if is_real_time(data):
        spo2, low, high, level, charging, perfusion, worn = data[:7]
        return _live(spo2, low | high << 8, level, charging, perfusion, worn, None)
    if len(data) != SENSORS_SIZE:
        raise DecodeError(f"expected {SENSORS_SIZE} bytes, or a wave, found {len(data)} bytes")
    spo2, low, high, *_ = data
    level, charging, movement, perfusion, worn = data[7:12]
    return _live(spo2, low | high << 8, level, charging, perfusion, worn, movement)


def _live(
    spo2: int,
    pulse: int,
    level: int,
    charging: int,
    perfusion: int,
    worn: int,
    movement: int | None,
) -> Live:
    is_worn = worn == _WORN
    # Both are 0 until it has found the pulse.
    calibrates = is_worn and spo2 == pulse == 0
    measures = is_worn and not calibrates
    fields = {
        "spo2_pct": known_spo2(spo2) if measures else None,
        "pulse_rate_bpm": known_pulse(pulse) if measures else None,
        "measurement_status": ["calibrating"] if calibrates else [],
        "device_status": [] if is_worn else ["not_on_user"],
        "pulse_amplitude_index_pct": (
            perfusion / 10 if measures and perfusion != _NO_PERFUSION else None
        ),
    }
    if movement is not None:
        fields["movement"] = movement
    battery = {"level_pct": known_level(level), "charging": charging == _CHARGING}
    return Live(PulseOximeter.of(fields), is_worn, Battery.of(battery))
