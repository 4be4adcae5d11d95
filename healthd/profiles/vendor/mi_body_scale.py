"""Xiaomi's scales with impedance: Mi Body Composition Scale 1 and 2, from their advertisements.

The service data is what the scale sends on a link as Body Composition Measurement. The weight
comes first, and again with the impedance some seconds later. Then the scale advertises its last
result about once a minute, with the same time.

Sources: ble_monitor miscale.py and issues 617 and 1094 (captures), Theengs decoder XMTZC05HM.
"""

from healthd.profiles.body_composition import advertised_body_composition
from healthd.profiles.body_composition.measurement import (
    BodyComposition,
    IntermediateBodyComposition,
    decode_xiaomi,
)
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile

_SIZE = 13

# Of the first byte: pounds (bit 0) and an object (bit 2) are not always set, bit 1 is.
_VARIES, _ALWAYS = 0x05, 0x02


def _fits(data: bytes) -> bool:
    return len(data) == _SIZE and data[0] & ~_VARIES == _ALWAYS


PROFILE = Profile(
    name="mi_body_scale",
    broadcasts=(
        Broadcast(
            "mi_body_scale",
            BodyComposition,
            decode_xiaomi,
            Use.STREAM,
            keys=("service_data_181b",),
            fits=_fits,
        ),
    ),
    state=advertised_body_composition,
    derived=(IntermediateBodyComposition,),
)
