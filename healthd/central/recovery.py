"""An adapter that fails again and again, or hears nothing any more: recovered step by step."""

import time
from collections.abc import Callable
from enum import Enum

# One failed scan or connect is everyday; five in a row, with nothing that worked between, are not.
FAILURES = 5

# BlueZ forgets a device that it has not heard for 180 s, and the rarest advertiser is heard every
# 10 s: half of the one and nine times the other is silence (habluetooth waits 90 s as well).
SILENCE_S = 90.0

# Each step gets this long to show that it helped, before the next one is taken.
_PACE_S = 60.0

# After the last step: what a reset did not mend will hardly be mended by the next one, and a room
# without any Bluetooth looks just the same. The pause doubles up to the longest.
_PAUSE_S = 900.0
_LONGEST_PAUSE_S = 4 * 3600.0


class Step(Enum):
    """What is tried, from the gentle to the rough."""

    RESCAN = "rescan"
    POWER_CYCLE = "power_cycle"
    RESET = "reset"


class Recovery:
    """Counts what fails, times silence, and says which step is due. Decides, and does nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` in seconds; the wall clock may jump."""
        self._now = now
        self._not_before = 0.0
        self._pause_s = _PAUSE_S
        self.start_over()

    def start_over(self) -> None:
        """Nothing is known of the adapter: it is another one, or has just come back.

        The pace stays: a reset makes an adapter come back, also one that is as broken as before.
        """
        self._failures = 0
        self._next = 0
        self._has_heard = False
        self._silent_since: float | None = None

    def heard(self) -> None:
        """An advertisement was heard."""
        self._has_heard = True
        if self._silent_since is not None:
            self._silent_since = self._now()
        if not self._failures:
            self._next = 0

    def worked(self) -> None:
        """A link was made: nothing is wrong with the adapter."""
        self._failures = self._next = 0
        self._pause_s = _PAUSE_S

    def failed(self) -> None:
        """A scan or a connect failed in a way that an adapter is suspected of."""
        self._failures += 1

    def scanning(self, on: bool) -> None:
        """The scanner started or stopped; silence counts only while it runs."""
        self._silent_since = self._now() if on else None

    def due(self, *, linked: bool) -> Step | None:
        """The step to be taken now, if any; it is taken to be taken.

        Args:
            linked: links live on this adapter, so it works: only the scanner is started anew.
        """
        now = self._now()
        since = self._silent_since
        silent = self._has_heard and since is not None and now - since >= SILENCE_S
        if now < self._not_before or not (silent or self._failures >= FAILURES):
            return None
        step = Step.RESCAN if linked else list(Step)[self._next]
        self._not_before = now + _PACE_S
        if step is Step.RESET:
            self._not_before = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._next = 0
        elif not linked:
            self._next += 1
        return step
