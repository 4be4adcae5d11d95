"""BTHome v2: sensors of rooms, plants and scales that only advertise (bthome.io)."""

from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.bthome.environment import Environment
from healthd.profiles.vendor.bthome.news import News
from healthd.profiles.vendor.bthome.packets import (
    decode_plain,
    decoder,
    is_regular,
    is_triggered,
)

_KEYS = ("service_data_fcd2",)

# Sensors that sleep send every ten minutes at the slowest (b-parasite). Home Assistant waits as
# long (habluetooth).
_SILENCE_S = 900.0

PROFILE = Profile(
    name="bthome",
    broadcasts=(
        Broadcast(
            uuid="bthome",
            model=Environment,
            decode=decode_plain,
            use=Use.STREAM,
            silence_s=_SILENCE_S,
            keys=_KEYS,
            fits=is_regular,
            decoder=decoder,
        ),
        Broadcast(
            uuid="bthome_triggered",
            model=Environment,
            decode=decode_plain,
            use=Use.STREAM,
            keys=_KEYS,
            fits=is_triggered,
            decoder=decoder,
        ),
    ),
    state=News,
)
