"""Omron cuffs of the classic stack: a memory that healthd reads with a key.

A cuff advertises for a short while after a measurement, or when its Bluetooth button is pressed.
It knows one host: its bond with a phone has to be removed first. ``frames`` has the protocol,
``keys`` what opens the memory, ``layouts`` the models, ``records`` what is stored, and ``transfer``
how it is fetched; each names its sources, of which userx14/omblepy and eigger/hass-omron d6758ed
(2026-08-21) have all of it. ``omron_modern`` is for the newer models.

Most of these cuffs have the Blood Pressure service, too, which sends only what is measured while
a client listens, or nothing at all: hass-omron reads it only where the memory yields nothing. So it
is not read in addition to the memory, unless there is no key for that.
"""

from healthd.profiles.blood_pressure import BloodPressure
from healthd.profiles.dialogue import Dialogue, Opening
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.omron import frames
from healthd.profiles.vendor.omron.frames import MEMORY
from healthd.profiles.vendor.omron.keys import HOLD_BUTTON, PAIRING, UNLOCK, unlock
from healthd.profiles.vendor.omron.layouts import CLASSIC
from healthd.profiles.vendor.omron.transfer import CuffState, fetch

NAMES = ("BLEsmart_*",)
"""How cuffs of both stacks advertise, in both cases of the S."""

_BLOOD_PRESSURE = "1810"


def _unlock(options: Options) -> Dialogue:
    return unlock(options.key)


PROFILE = Profile(
    name="omron",
    service="ecbe3980-c9a2-11e1-b1bd-0002a5d5c51b",
    characteristics=(MEMORY, UNLOCK),
    state=CuffState,
    opening=Opening(MEMORY.uuid, fetch(CLASSIC, _unlock), abort=frames.end()),
    derived=(BloodPressure,),
    pairing=PAIRING,
    names=NAMES,
    replaces=(_BLOOD_PRESSURE,),
    hint=f"{HOLD_BUTTON}, then: healthd pair ID",
)
