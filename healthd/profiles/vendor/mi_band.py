"""Heart rate and steps that bands of Xiaomi and Amazfit put into their advertisements.

They send the heart rate while sharing it is switched on in their app, and steps up to the sixth Mi
Band. Sources: captures in the tests of ble_monitor, and those of the Theengs decoder.
"""

from typing import Annotated, Any, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.heart_rate import HeartRate, with_zone
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import U16, nothing
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

# A band that shares its heart rate advertises about once a second; it may be behind its wearer.
SILENCE_S = 60.0

_HEART_RATE_SIZE = 24
_HEART_RATE_KIND = 0x02
_RATE_AT = 3
_STEPS_SIZE = 4


class Steps(Measurement):
    """What a pedometer has counted."""

    kind: ClassVar[str] = "steps"

    step_count: Annotated[int, quantity("{steps}", loinc="55423-8")]
    """A counter: a band starts it at 0 every day."""


def _is_heart_rate(data: bytes) -> bool:
    # Scales of the same company, and bands with encrypted advertisements, begin differently.
    return len(data) == _HEART_RATE_SIZE and data[0] == _HEART_RATE_KIND


def decode_heart_rate(data: bytes) -> HeartRate:
    """Decode manufacturer data 0157: 02 u8, 2 bytes, rate u8 (/min, FF: none), 20 bytes.

    The last six bytes are the band's address; the meaning of the others is not known.
    """
    if not _is_heart_rate(data):
        raise DecodeError(f"expected {_HEART_RATE_SIZE} bytes that begin with 02")
    fields: dict[str, Any] = {
        "heart_rate_bpm": known_rate(data[_RATE_AT]),
        "sensor_contact_supported": False,
        "sensor_contact_detected": None,
    }
    return HeartRate.of(fields)


# ble_monitor reads all four bytes as one number, Theengs only these two, and the others are 0 in
# all captures. A day with 65536 steps is rare, so if the others are used, it is for something
# else.
_STEPS = Layout(
    Field("step_count", U16, required=True),
    Field("", U16, meaning=nothing, required=True),
)


def decode_steps(data: bytes) -> Steps:
    """Decode service data FEE0: steps u16, 2 bytes."""
    return Steps.of(_STEPS.read(data))


PROFILE = Profile(
    name="mi_band",
    broadcasts=(
        Broadcast(
            "mi_band",
            HeartRate,
            decode_heart_rate,
            Use.STREAM,
            SILENCE_S,
            keys=("manufacturer_data_0157",),
            fits=_is_heart_rate,
        ),
        Broadcast(
            "mi_band_steps",
            Steps,
            decode_steps,
            Use.STREAM,
            SILENCE_S,
            keys=("service_data_fee0",),
            # The Amazfit scale sends 20 bytes.
            fits=lambda data: len(data) == _STEPS_SIZE,
        ),
    ),
    correct=with_zone,
)
