"""Omron cuffs of the modern stack: the memory of the classic one, behind an ordinary bond.

A frame travels as one value, the key is replaced by a bond and a greeting, and records are where
they are in few of the older models. Sources: eigger/hass-omron (omron_ble/device_catalog.py and
omron_driver.py, from recorded links of the maker's app), and for the HEM-7380T1 userx14/omblepy
(deviceSpecific/hem-7380t1.py), which leaves out the greeting. Cuffs of the WLD3 family (HEM-7380T1)
forget their bond after each session.

healthd reads the Blood Pressure service, too: that is all there is on the many models whose memory
it does not know. A result that comes both ways has the same time, user and values, and becomes one
sample.
"""

from healthd.profiles.blood_pressure import BloodPressure
from healthd.profiles.dialogue import Dialogue, Opening
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.vendor import omron
from healthd.profiles.vendor.omron import frames
from healthd.profiles.vendor.omron.frames import MEMORY
from healthd.profiles.vendor.omron.keys import HOLD_BUTTON, UNLOCK, show_token
from healthd.profiles.vendor.omron.layouts import MODERN
from healthd.profiles.vendor.omron.transfer import CuffState, fetch


def _greet(_options: Options) -> Dialogue:
    return show_token()


PROFILE = Profile(
    name="omron_modern",
    service="fe4a",
    characteristics=(MEMORY, UNLOCK),
    state=CuffState,
    opening=Opening(MEMORY.uuid, fetch(MODERN, _greet), abort=frames.end()),
    derived=(BloodPressure,),
    names=omron.NAMES,
    hint=f"{HOLD_BUTTON}, then: healthd pair ID",
)
