"""Cuffs of Yonker: YK-IBPA1, YK-BPW5, and the same sold by METIKO, Yongrow and Femmto.

Sources: derdilla/blood-pressure-monitor-fl (yonker_measurement_data.dart, its test and issue 615)
and the decoder of the app EverCare (yk_ibpa1_packet_decoder.dart and its test), which agree on the
pressures and the pulse. Only the latter reads the pressure during a measurement.

The former reads the date as day, month, year, and finds it wrong. Its example of 25, 11, 24 was
reported on 2025-11-24, so it is year, month, day.

The maker's oximeter YK-81C has the same service and the same first byte, with the oxygen, the pulse
and a perfusion index in the places of the pressures and the pulse. It sends no date, so a result
without a date is refused: 97 % and 72/min must not become a blood pressure of 97/72.
"""

from healthd.errors import DecodeError
from healthd.profiles.blood_pressure import (
    MOST_MMHG,
    BloodPressure,
    IntermediateCuffPressure,
    measurements,
)
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.dates import date_text
from healthd.profiles.profile import Profile

_PRESSURE, _RESULT = 0x80, 0x81
_PRESSURE_BYTES, _RESULT_BYTES = 3, 15
_CENTURY = 2000


def decode_cuff(data: bytes) -> BloodPressure:
    """Decode CDEACD81: 80 and the pressure in the cuff (u16, big-endian), or 81 and a result.

    A result has systolic, diastolic, pulse (u8), two bytes, year - 2000, month, day, hour, minute,
    and four bytes.
    """
    if len(data) >= _PRESSURE_BYTES and data[0] == _PRESSURE:
        pressure = int.from_bytes(data[1:_PRESSURE_BYTES], "big")
        if pressure > MOST_MMHG:
            raise DecodeError(f"expected at most {MOST_MMHG:.0f} mmHg, found {pressure}")
        return BloodPressure.of(_pressures(pressure, None))
    if len(data) != _RESULT_BYTES or data[0] != _RESULT:
        raise DecodeError(
            f"expected {_PRESSURE:02x} and a pressure, or {_RESULT:02x} in {_RESULT_BYTES} bytes"
        )
    _, systolic, diastolic, pulse, _, _, year, month, day, hour, minute, *_ = data
    if not (month and day):
        raise DecodeError("expected a date: this is not a result of a cuff")
    # The clock of the cuff has no seconds.
    time = date_text((_CENTURY + year, month, day, hour, minute, 0))
    return BloodPressure.of(
        _pressures(systolic, diastolic) | {"pulse_rate_bpm": known_rate(pulse), "device_time": time}
    )


def _pressures(systolic: int, diastolic: int | None) -> dict[str, float | str | None]:
    return {
        "systolic_mmhg": systolic,
        "diastolic_mmhg": diastolic,
        "mean_arterial_pressure_mmhg": None,
    }


PROFILE = Profile(
    name="yonker",
    service="cdeacd80-5235-4c07-8846-93a37ee6b86d",
    characteristics=(
        Characteristic(
            "cdeacd81-5235-4c07-8846-93a37ee6b86d", BloodPressure, decode_cuff, Use.STREAM
        ),
    ),
    state=measurements,
    derived=(IntermediateCuffPressure,),
    names=("YK-IBPA1*", "YK-BPW5*"),
)
