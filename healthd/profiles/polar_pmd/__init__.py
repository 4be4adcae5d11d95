"""Polar Measurement Data service (PMD)."""

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Opening
from healthd.profiles.polar_pmd.control import PmdControlPoint, decode_control
from healthd.profiles.polar_pmd.frames import Pmd, decode_data
from healthd.profiles.polar_pmd.requests import close_streams, open_streams
from healthd.profiles.polar_pmd.state import PmdState
from healthd.profiles.polar_pmd.streams import PUBLISHED
from healthd.profiles.profile import Profile

_CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
_DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

PROFILE = Profile(
    name="polar_pmd",
    service="fb005c80-02e7-f387-1cad-8acd2d8df0c8",
    characteristics=(
        Characteristic(_CONTROL, PmdControlPoint, decode_control, Use.CONTROL),
        # It sends only streams that were started, so no silence is too long.
        Characteristic(_DATA, Pmd, decode_data, Use.STREAM),
    ),
    state=lambda _: PmdState(),
    opening=Opening(_CONTROL, open_streams, close_streams),
    derived=PUBLISHED,
)
