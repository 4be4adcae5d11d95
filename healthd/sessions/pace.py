"""The pauses between tries of a peripheral; they carry over from one run to the next."""

import random
import time

from healthd.central.faults import LinkFault
from healthd.errors import Backoff

# The pauses between failed runs of a peripheral that is fetched whenever it advertises. Each run
# has already tried for its whole window, with the pauses of its faults. At first a few seconds,
# because a scale stays awake for a minute at most; in the end five minutes, as after a successful
# run (rearm): a peripheral that fails must not use the radio more than one that works.
_RUNS = Backoff(first_s=5.0, ceiling_s=300.0)


class Pace:
    """Delays the tries and the runs of one peripheral.

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
        """How long until the next try may begin, in seconds; 0 if now."""
        return max(0.0, self._try_at - time.monotonic())

    @property
    def run_in_s(self) -> float:
        """How long until the next run may begin, in seconds; 0 if now."""
        return max(0.0, self._run_at - time.monotonic())

    def failed(self, fault: LinkFault, attempt: int) -> None:
        """Note that a try failed, number ``attempt`` of its run (counted from 0)."""
        self.fault = fault
        self._try_at = self._after(fault.backoff, attempt)

    def ran(self, *, well: bool) -> None:
        """Note that a run is over in which the peripheral was found."""
        self._failed_runs = 0 if well else self._failed_runs + 1
        self._run_at = 0.0 if well else self._after(_RUNS, self._failed_runs - 1)

    def _after(self, backoff: Backoff, attempt: int) -> float:
        return time.monotonic() + self._jitter.uniform(0, backoff.limit(attempt))
