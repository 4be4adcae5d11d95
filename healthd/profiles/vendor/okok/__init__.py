"""Scales for the app OKOK, with chips of Chipsea: ADV, Chipsea-BLE, Yoda0, Yoda1, Xiaogui TZC4.

Four layouts share the manufacturer data. The company ids are not assigned to anyone; in the layout
`okok` only the low byte is fixed, and the high one counts. Some scales count weighings (openScale
issue 1452, homeassistant-okokscale issue 7), others packets (ble_monitor xiaogui.py,
homeassistant-okokscale pull request 14), so the count does not distinguish weighings.

Sources: openScale OkOkHandler and issues 496, 930, 1177, 1309 and 1452, ble_monitor xiaogui.py,
rrooggiieerr/okokscale.py. Its checksums leave out the last byte before the checksum; real packets
of 0x20CA (homeassistant-okokscale pull request 12) have the one of openScale.
"""

from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.okok import packets
from healthd.profiles.vendor.okok.weighings import AGAIN_S, Weighings
from healthd.profiles.weight_scale import IntermediateWeight, Weight

_ROWS = (
    (
        "okok",
        packets.decode_okok,
        packets.fits_okok,
        tuple(f"{count:02x}c0" for count in range(256)),
    ),
    ("okok_20ca", packets.decode_20ca, packets.fits_20ca, ("20ca",)),
    ("okok_11ca", packets.decode_11ca, packets.fits_11ca, ("11ca",)),
    ("okok_f0ff", packets.decode_f0ff, packets.fits_f0ff, ("f0ff",)),
)

PROFILE = Profile(
    name="okok",
    broadcasts=tuple(
        Broadcast(
            name,
            Weight,
            decode,
            Use.STREAM,
            keys=tuple(f"manufacturer_data_{company}" for company in companies),
            fits=fits,
            again_s=AGAIN_S,
        )
        for name, decode, fits, companies in _ROWS
    ),
    state=Weighings,
    derived=(IntermediateWeight,),
)
