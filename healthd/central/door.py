"""How much one link may send: what a flooding peripheral sends too much costs almost nothing.

Notifications over its share are left out before they are decoded, so that the others keep theirs.
A link that goes on like that is ended.
"""

import time
from typing import NamedTuple


class Share(NamedTuple):
    """What a link may send: at once, and then on average."""

    notifications: float
    notifications_per_s: float
    bytes: float
    bytes_per_s: float


# The busiest sensor that healthd reads is a Polar Verity Sense with everything on: PPG at 176 Hz
# with 4 x 3 bytes, acceleration and gyroscope at 416 Hz with 6, magnetometer at 100 Hz with 6, all
# uncompressed (polar-ble-sdk, SdkModeExplained.md). That is 7.7 kB/s, 34 frames of 229 bytes. An
# H10 sends 8 frames/s (ECG 130 Hz, acceleration 200 Hz) and a heart rate, a fitness machine a few
# characteristics at 4 Hz. The share is three times as much.
#
# At once: what has gathered while the process stood still for a minute. A new link begins with a
# quarter of that.
SHARE = Share(2_500, 100, 600_000, 24_000)
_NEW_PART = 1 / 4

# A device that has stored records sends them as fast as the radio allows when healthd asks: at
# 7.5 ms between connection events and several packets in each, hundreds a second. 25,000 are more
# than a glucose sensor of 15 days has with a record a minute (21,600), of at most 20 bytes each
# (Glucose Measurement, CGM Measurement).
RECORDS = Share(25_000, 100, 500_000, 24_000)

# A radio without interference carries 1,400 small notifications a second. A link is ended if it
# sends at twice its share for half a minute, or ten times its share for three seconds; what had
# gathered during a stall of two minutes does not end it.
_ENDS_AT, _ENDS_AT_PER_S = 3_000, 100


class Door:
    """Counts what one link sends, and says what is too much.

    Attributes:
        floods: whether the link has sent so much that it has to be ended.
    """

    def __init__(self) -> None:
        """Begin with the share of a new link."""
        self.floods = False
        self._share = SHARE
        self._notifications = SHARE.notifications * _NEW_PART
        self._bytes = SHARE.bytes * _NEW_PART
        self._excess = 0.0
        self._at = time.monotonic()

    def expect_records(self) -> None:
        """Allow the transfer of stored records once."""
        self._share = RECORDS
        self._notifications, self._bytes = RECORDS.notifications, RECORDS.bytes

    def admits(self, size: int) -> bool:
        """Count a notification; return whether it is within the share.

        Args:
            size: its length in bytes.
        """
        now = time.monotonic()
        passed_s, self._at = now - self._at, now
        most, per_s, most_bytes, bytes_per_s = self._share
        self._notifications = min(self._notifications + passed_s * per_s, most)
        self._bytes = min(self._bytes + passed_s * bytes_per_s, most_bytes)
        if self._excess:
            self._excess = max(0.0, self._excess - passed_s * _ENDS_AT_PER_S)
        if self._notifications >= 1 and self._bytes >= size:
            self._notifications -= 1
            self._bytes -= size
            return True
        self._excess += 1
        self.floods = self.floods or self._excess >= _ENDS_AT
        return False
