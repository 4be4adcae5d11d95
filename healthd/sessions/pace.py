"""How soon a peripheral is tried again: what one of its runs has met holds for the next ones."""

import random
import time

from healthd.central.faults import LinkFault
from healthd.errors import Backoff

# Between failed runs of one that is linked whenever it shows up. Each has already tried for its
# whole window, at the pace of its faults. At first some seconds, for a scale stays awake for a
# minute at most; in the end five minutes, which is how long one is left alone that was fetched
# (rearm): one that cannot be linked must not have the radio for longer than those that can.
_RUNS = Backoff(first_s=5.0, ceiling_s=300.0)


class Pace:
    """Holds back the tries, and the runs, of one peripheral.

    Attributes:
        fault: what ended the last try that failed.
    """

    def __init__(self, jitter: random.Random) -> None:
        """Draw every pause from ``jitter``."""
        self.fault: LinkFault | None = None
        self._jitter = jitter
        self._try_at = self._run_at = 0.0
        self._failed_runs = 0

    @property
    def try_in_s(self) -> float:
        """How long it is until the next try may begin, in seconds; 0 where it may now."""
        return max(0.0, self._try_at - time.monotonic())

    @property
    def run_in_s(self) -> float:
        """How long it is until the next run may begin, in seconds; 0 where it may now."""
        return max(0.0, self._run_at - time.monotonic())

    def failed(self, fault: LinkFault, attempt: int) -> None:
        """A try of a run failed, number ``attempt`` of it (counted from 0)."""
        self.fault = fault
        self._try_at = self._after(fault.backoff, attempt)

    def ran(self, *, well: bool) -> None:
        """A run is over in which the peripheral was there."""
        self._failed_runs = 0 if well else self._failed_runs + 1
        self._run_at = 0.0 if well else self._after(_RUNS, self._failed_runs - 1)

    def _after(self, backoff: Backoff, attempt: int) -> float:
        return time.monotonic() + self._jitter.uniform(0, backoff.limit(attempt))
