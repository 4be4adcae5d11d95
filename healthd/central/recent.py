"""Devices whose links have just ended: BlueZ still knows them, so they need no search."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from healthd.central.faults import LinkLost
from healthd.central.link import Advertisement
from healthd.central.match import Match

# A link that lasted this long worked; one that ends earlier is retried after a pause, and by then
# the device is searched for, because it may have gone (see ``supervisor.HEALTHY_AFTER_S``).
_LASTED_S = 3.0

# The session of a link that lasted asks for the device again at once. Later, a search is better.
_FRESH_S = 2.0


class _Ended(NamedTuple):
    device: Advertisement
    at: float


class Recent:
    """The device of each peripheral whose link has just ended by itself."""

    def __init__(self) -> None:
        """Start without devices."""
        self._ended: dict[str, _Ended] = {}
        self._trying: Match | None = None

    @contextmanager
    def watching(self, match: Match, device: Advertisement) -> Generator[None]:
        """Remember the device if the block, which uses a link to it, ends because that is lost.

        Not if a device hides behind changing addresses: it may have another one by now. Nor if it
        is fetched now and then: it goes to sleep when its link has ended.
        """
        since = time.monotonic()
        try:
            yield
        except LinkLost as fault:
            # Not for its subclasses: there healthd ended the link, or the adapter is gone.
            was_lost = type(fault) is LinkLost and time.monotonic() - since >= _LASTED_S
            if was_lost and not (match.periodic or device.is_private):
                self._ended[match.peripheral] = _Ended(device, time.monotonic())
            raise

    def take(self, match: Match) -> Advertisement | None:
        """Return the device of a link that ended a moment ago, once; None if there is none.

        None also while another peripheral tries to have its device back. Until that is connected
        nothing else is, and nothing is heard: of many that have lost their links together only one
        tries it, and the others are searched for.
        """
        ended = self._ended.pop(match.peripheral, None)
        if ended is None or self._trying or time.monotonic() - ended.at > _FRESH_S:
            return None
        self._trying = match
        return replace(ended.device, is_recent=True)

    def tried(self, match: Match) -> None:
        """Note that this peripheral has its device back, or does not try it any more."""
        if self._trying == match:
            self._trying = None

    def forget(self, peripheral: str) -> None:
        """Forget a peripheral that is not in the settings any more."""
        self._ended.pop(peripheral, None)
