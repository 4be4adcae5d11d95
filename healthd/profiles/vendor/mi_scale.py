"""Xiaomi's scales without impedance: Mi Scale and Mi Smart Scale 2, from their advertisements.

The service data is what the scale sends on a link as Weight Measurement. It advertises while a
person stands on it, and then its last result again about once a minute, with the same time.

Sources: ble_monitor miscale.py and issue 292 (captures), Theengs decoder XMTZC04HM,
KristianP26/ble-scale-sync pull request 353 (captures in kg and lb, with what was displayed).
"""

from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.weight_scale import (
    IntermediateWeight,
    Weight,
    advertised_weighings,
    decode_xiaomi,
)

_SIZE = 10

# Of the flags: bits that have not been seen, and the one that announces the time.
_UNUSED, _DATED = 0x0C, 0x02


def _fits(data: bytes) -> bool:
    # While it wakes up, a scale sends ten zeros. They have no time, and no weight either.
    return len(data) == _SIZE and data[0] & (_UNUSED | _DATED) == _DATED


PROFILE = Profile(
    name="mi_scale",
    broadcasts=(
        Broadcast(
            "mi_scale",
            Weight,
            decode_xiaomi,
            Use.STREAM,
            keys=("service_data_181d",),
            fits=_fits,
        ),
    ),
    state=advertised_weighings,
    derived=(IntermediateWeight,),
)
