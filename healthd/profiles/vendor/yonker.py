"""Cuffs and clips of Yonker, which share a service: YK-IBPA1, YK-BPW5 and YK-81C.

METIKO, Yongrow and Femmto sell the cuffs, Incoterm the clip. Sources of the cuffs are
derdilla/blood-pressure-monitor-fl (yonker_measurement_data.dart, its test and issue 615) and the
decoder of the app EverCare (yk_ibpa1_packet_decoder.dart and its test). They agree on the pressures
and the pulse. The former reads the date as day, month, year, and finds it wrong: its example of 25,
11, 24 was reported on 2025-11-24, so it is year, month, day. Only the latter reads the pressure
during a measurement.

Sources of the clip are three apps that look for YK-81C or BleModuleA. They agree on SpO2 and pulse;
one also reads the perfusion index and the pulse wave, and says how long the packets are.

Results of both have the same first byte and the same length, and 97 % with 72/min must not become a
blood pressure of 97/72. They differ in the date of a cuff, where a clip sends zeros. A
cuff that has lost its date makes no result.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.blood_pressure import (
    KIND,
    MOST_MMHG,
    BloodPressure,
    IntermediateCuffPressure,
)
from healthd.profiles.characteristic import Characteristic, Options, Profile, Timed, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.dates import date_text
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.results.episodes import Episodes
from healthd.samples import DeviceTimed, Measurement, quantity

_PRESSURE, _RESULT = 0x80, 0x81
_PRESSURE_BYTES, _BYTES = 3, 15
_CENTURY = 2000
_GREATEST_SPO2, _NO_VALUE = 100, frozenset({0, 0x7F, 0xFF})
# In a packet with the pulse wave: where a clip sends 1, after ten values.
_IS_WAVE_AT = 11


class YonkerPacket(DeviceTimed):
    """What a cuff or a clip sends: the pressure in the cuff, a result, or neither."""

    kind: ClassVar[str] = "yonker_packet"

    cuff_pressure_mmhg: Annotated[float | None, quantity("mm[Hg]")] = None
    systolic_mmhg: Annotated[float | None, quantity("mm[Hg]")] = None
    diastolic_mmhg: Annotated[float | None, quantity("mm[Hg]")] = None
    spo2_pct: Annotated[float | None, quantity("%")] = None
    pulse_rate_bpm: Annotated[float | None, quantity("/min")] = None
    pulse_amplitude_index_pct: Annotated[float | None, quantity("%")] = None


class YonkerState(Episodes):
    """Makes blood pressures of the packets of a cuff, and values of an oximeter of the others."""

    def __init__(self, options: Options) -> None:
        """Start a link."""
        super().__init__(KIND, options)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what a packet brings."""
        fields = measurement.fields()
        if "spo2_pct" in fields:
            return [Timed(PulseOximeter.of(fields), mono_ns)]
        if "cuff_pressure_mmhg" in fields:
            fields = {"systolic_mmhg": fields["cuff_pressure_mmhg"], "diastolic_mmhg": None}
        if not fields:
            return []
        return super().take(
            BloodPressure.of(fields | {"mean_arterial_pressure_mmhg": None}), mono_ns
        )


def decode_packet(data: bytes) -> YonkerPacket:
    """Decode CDEACD81: kind u8; 80: the pressure in the cuff (u16, big-endian, mmHg), or a wave.

    81 of a cuff: systolic, diastolic (u8, mmHg), pulse u8 (/min), 2 bytes, year - 2000, month, day,
    hour, minute, 4 bytes. 81 of a clip: SpO2 u8 (%), pulse u8, perfusion index u8 (0.1 %), zeros.
    """
    kind = data[0] if data else None
    if kind == _PRESSURE and len(data) >= _PRESSURE_BYTES:
        return YonkerPacket.of(_during_measurement(data))
    if kind != _RESULT or len(data) != _BYTES:
        raise DecodeError(f"expected 80 and a pressure, or 81 in {_BYTES} bytes")
    _, first, second, third, _, _, year, month, day, hour, minute, *_ = data
    if month and day:
        # The clock of a cuff has no seconds.
        time = date_text((_CENTURY + year, month, day, hour, minute, 0))
        values = {"systolic_mmhg": first, "diastolic_mmhg": second}
        return YonkerPacket.of(values | {"pulse_rate_bpm": known_rate(third), "device_time": time})
    if any(data[4:]):
        raise DecodeError("expected a date, or zeros")
    return YonkerPacket.of(
        {
            "spo2_pct": None if first in _NO_VALUE or first > _GREATEST_SPO2 else first,
            "pulse_rate_bpm": None if second in _NO_VALUE else second,
            "pulse_amplitude_index_pct": None if third in _NO_VALUE else third / 10,
        }
    )


def _during_measurement(data: bytes) -> dict[str, Any]:
    if len(data) == _BYTES and data[_IS_WAVE_AT]:
        return {}
    pressure = int.from_bytes(data[1:_PRESSURE_BYTES], "big")
    if pressure > MOST_MMHG:
        raise DecodeError(f"expected at most {MOST_MMHG:.0f} mmHg, found {pressure}")
    return {"cuff_pressure_mmhg": pressure}


PROFILE = Profile(
    name="yonker",
    service="cdeacd80-5235-4c07-8846-93a37ee6b86d",
    characteristics=(
        Characteristic(
            "cdeacd81-5235-4c07-8846-93a37ee6b86d", YonkerPacket, decode_packet, Use.STREAM
        ),
    ),
    state=YonkerState,
    derived=(BloodPressure, IntermediateCuffPressure, PulseOximeter),
    names=("YK-IBPA1*", "YK-BPW5*", "YK-81C*", "Incoterm OX500*"),
)
