"""Jumper JPD-500F and other clips with its module, advertised as My Oximeter or Medical.

Sources: foggatewaylib (Riccardo Mancini, OximeterData.java), obniz (parts/Ble/PLS_01BT),
smarttelemed-v4 (jumper_po_jpd_500f.dart, with a capture). They agree on the places and on what is
not a value; the first one divides the perfusion index by 10, as the display does, the others pass
on what was sent.
"""

from collections.abc import Iterable

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.link_state import Timed
from healthd.profiles.profile import Profile
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.samples import Measurement

_WAVE, _RESULT = 0x80, 0x81
_RESULT_SIZE = 4
_NO_PULSE, _NO_SPO2, _NO_PERFUSION = 0xFF, 0x7F, 0

# It sends about one result a second, of whatever is in the clip.
_SILENCE_S = 30.0


def decode_packet(data: bytes) -> PulseOximeter:
    """Decode CDEACB81: kind u8; of a result: pulse u8 (/min), SpO2 u8 (%), perfusion u8 (0.1 %).

    A piece of the pulse wave has none of these.
    """
    kind = data[0] if data else None
    if kind == _WAVE:
        return PulseOximeter(spo2_pct=None, pulse_rate_bpm=None)
    if kind != _RESULT:
        raise DecodeError(f"expected 80 or 81, found {data[:1].hex() or 'nothing'}")
    if len(data) != _RESULT_SIZE:
        raise DecodeError(f"expected {_RESULT_SIZE} bytes, found {len(data)}")
    _, pulse, spo2, perfusion = data
    return PulseOximeter.of(
        {
            "spo2_pct": None if spo2 == _NO_SPO2 or spo2 > 100 else spo2,
            "pulse_rate_bpm": None if pulse == _NO_PULSE else pulse,
            "pulse_amplitude_index_pct": None if perfusion == _NO_PERFUSION else perfusion / 10,
        }
    )


class JumperState:
    """Leaves out the pulse wave: its pieces have neither a time nor a number."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return a result; each has a perfusion index, perhaps ``null``."""
        if "pulse_amplitude_index_pct" in measurement.model_fields_set:
            yield Timed(measurement, mono_ns)


PROFILE = Profile(
    name="jumper",
    service="cdeacb80-5235-4c07-8846-93a37ee6b86d",
    characteristics=(
        Characteristic(
            "cdeacb81-5235-4c07-8846-93a37ee6b86d",
            PulseOximeter,
            decode_packet,
            Use.STREAM,
            _SILENCE_S,
        ),
    ),
    state=lambda _: JumperState(),
    names=("my oximeter*",),
)
