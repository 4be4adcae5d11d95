"""Step-by-step recovery of an adapter that keeps failing, or that stops hearing anything."""

import time
from collections.abc import Callable
from enum import Enum

# A failed scan or connect is normal; five without a success in between are not.
FAILURES = 5

# Half of the 180 s after which BlueZ forgets an unheard device, and nine times the longest usual
# advertising interval of 10 s (habluetooth waits 90 s as well).
SILENCE_S = 90.0

# How long each step has to show an effect before the next one.
_PACE_S = 60.0

# The pause after the last step: if a reset did not help, the next one hardly will, and a place
# without any Bluetooth device looks the same. The pause doubles up to the longest.
_PAUSE_S = 900.0
_LONGEST_PAUSE_S = 4 * 3600.0


class Step(Enum):
    """The steps, from the mildest to the most drastic."""

    RESCAN = "rescan"
    POWER_CYCLE = "power_cycle"
    RESET = "reset"


class Recovery:
    """Counts failures, times silence, and decides which step is due; the caller takes the step."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        """``now`` in seconds; the wall clock may jump."""
        self._now = now or time.monotonic
        self._not_before = 0.0
        self._pause_s = _PAUSE_S
        self._hearing_since: float | None = None
        self._on_change: Callable[[], None] = lambda: None
        self.start_over()

    def attach(self, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` whenever ``due_at`` may have become earlier."""
        self._on_change = on_change

    def start_over(self) -> None:
        """Forget what is known of the adapter: it is another one, or has just come back.

        The pause stays, because after a reset an adapter comes back even if it is still broken.
        """
        self._failures = 0
        self._next = 0
        self._has_heard = False
        self._silent_since: float | None = None
        self._hearing_since = None

    def heard(self) -> None:
        """Note that an advertisement was heard.

        A scanner that has heard something all the time works. If it falls silent later, the steps
        are due at once, however long the pause was before. A place where someone passes now and
        then is not like that.
        """
        is_first, self._has_heard, is_over = not self._has_heard, True, False
        now, since = self._now(), self._silent_since
        if self._hearing_since is None or (since is not None and now - since >= SILENCE_S):
            self._hearing_since = now
        elif now - self._hearing_since >= _PAUSE_S:
            self._pause_s = _PAUSE_S
            # A pause after the last step is over, but not the time that each step has.
            if is_over := self._not_before > now + _PACE_S:
                self._not_before = now
        if since is not None:
            self._silent_since = now
        if not self._failures:
            self._next = 0
        if is_first or is_over:
            self._on_change()

    def worked(self) -> None:
        """Note that a link was made, so the adapter works."""
        self._failures = self._next = 0
        self._pause_s = _PAUSE_S

    def failed(self) -> None:
        """Note that a scan or a connect failed, possibly because of the adapter."""
        self._failures += 1
        self._on_change()

    def scanning(self, on: bool) -> None:
        """Note that the scanner started or stopped; silence counts only while it runs."""
        self._silent_since = self._now() if on else None
        self._on_change()

    @property
    def due_at(self) -> float | None:
        """When a step is due, unless the adapter works or hears something before; None: never."""
        if self._failures >= FAILURES:
            return self._not_before
        if self._has_heard and self._silent_since is not None:
            return max(self._silent_since + SILENCE_S, self._not_before)
        return None

    def due(self, *, linked: bool) -> Step | None:
        """Return the step to take now, if any; the caller must take it.

        Args:
            linked: whether the adapter has links, so that it works and only the scanner restarts.
        """
        now, due_at = self._now(), self.due_at
        if due_at is None or now < due_at:
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
