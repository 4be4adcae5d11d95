"""What the scanner may leave out: BlueZ's own filters, and passive scanning."""

import time
from collections import Counter
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


# Linux refuses a passive scan for more patterns (HCI_MAX_ADV_MONITOR_NUM_PATTERNS).
_MOST_PATTERNS = 16

# How many company ids have the same low byte, which is sent first.
_ALL_HIGH_BYTES = 256


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

    @property
    def beginnings(self) -> list[bytes]:
        """What the manufacturer data of these companies begins with; as few as possible."""
        counts = Counter(company & 0xFF for company in self.companies)
        each = (company.to_bytes(2, "little") for company in self.companies)
        is_whole = {low for low, count in counts.items() if count == _ALL_HIGH_BYTES}
        return sorted({sent[:1] if sent[0] in is_whole else sent for sent in each})


class Focus:
    """Chooses how to scan, by what is wanted and what is heard."""

    def __init__(self, interest: Interest, now: Callable[[], float] | None = None) -> None:
        """Scan actively; see ``prefers_passive``.

        Args:
            interest: what is wanted of advertisements.
            now: in seconds.
        """
        self._interest = interest
        self._now = now or time.monotonic
        self.prefers_passive = False
        self._address: str | None = None
        self._first = self._last = -_QUIET_S
        self._any = self._now()

    def heard(self, address: str | None) -> None:
        """Note that a device was heard.

        Args:
            address: its address; None if it is not wanted, or rests at times.
        """
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
        if self.prefers_passive and companies and now - self._any < _PASSIVE_QUIET_S:
            passive = Mode(companies=companies)
            if len(passive.beginnings) <= _MOST_PATTERNS:
                return passive
        is_heard = now - self._last < _QUIET_S
        is_steady = self._last - self._first >= _STEADY_S
        only = self._interest.only
        return Mode(only if only == self._address and is_heard and is_steady else None)
