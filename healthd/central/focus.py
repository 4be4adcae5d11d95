"""What the scanner may leave out: BlueZ's own filters, and passive scanning."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from healthd.central.interest import Interest

# A scan is restarted for another filter, which takes half a second. So the filter is set only for
# a device that advertises all the time, and not in the middle of a weighing.
_STEADY_S = 60.0

# With the filter, silence does not show whether the scanner still works. So without this device
# BlueZ reports all devices again.
_QUIET_S = 30.0

# The same for passive scanning, which reports only changes of the wanted devices: after this time
# without any, an active scan shows whether the scanner works, until it hears something.
_PASSIVE_QUIET_S = 600.0


# BlueZ compares every advertisement with every pattern. Some scales count their packets in the
# company id, and use 256 of them.
_MOST_COMPANIES = 32


@dataclass(frozen=True, slots=True)
class Mode:
    """How to scan.

    Attributes:
        address: the only device that BlueZ reports; None: all.
        companies: scan passively, for manufacturer data of these companies; empty: scan actively.
    """

    address: str | None = None
    companies: frozenset[int] = frozenset()

    @property
    def hears_everyone(self) -> bool:
        """Whether foreign devices are heard, too, so that long silence means a fault."""
        return self.address is None and not self.companies


class Focus:
    """Chooses how to scan, by what is wanted and what is heard."""

    def __init__(self, interest: Interest, now: Callable[[], float] = time.monotonic) -> None:
        """Scan actively; see ``prefers_passive``.

        Args:
            interest: what is wanted of advertisements.
            now: in seconds.
        """
        self._interest = interest
        self._now = now
        self.prefers_passive = False
        self._address: str | None = None
        self._first = self._last = -_QUIET_S
        self._any = now()

    def heard(self, address: str | None) -> None:
        """Note that a device was heard; None for one that is not wanted."""
        self._any = now = self._now()
        if address is None:
            return
        if address != self._address or now - self._last >= _QUIET_S:
            self._address, self._first = address, now
        self._last = now

    def mode(self) -> Mode:
        """Return how to scan now."""
        now = self._now()
        companies = self._interest.companies
        if (
            self.prefers_passive
            and companies
            and len(companies) <= _MOST_COMPANIES
            and now - self._any < _PASSIVE_QUIET_S
        ):
            return Mode(companies=companies)
        is_heard = now - self._last < _QUIET_S
        is_steady = self._last - self._first >= _STEADY_S
        only = self._interest.only
        return Mode(only if only == self._address and is_heard and is_steady else None)
