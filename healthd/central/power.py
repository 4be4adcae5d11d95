"""When to switch on an adapter that is off, and when to respect that it was switched off."""

import time
from collections.abc import Callable

# The adapter has been off since it appeared: not a person's decision but the result of a boot
# (raspberrypi/linux#6462). BlueZ's own AutoEnable gets a moment first.
_AFTER_APPEARING_S = (3.0, 10.0, 30.0, 120.0, 600.0)

# The adapter was switched off while healthd used it: by a person, or by rfkill. It may be an
# accident, so it is switched on again; after the third time it stays off, because it is on purpose.
_AFTER_USE_S = (30.0, 120.0, 600.0)

# After this time on, the tries start from the first again.
_STABLE_S = 600.0


class Power:
    """The power state of one adapter, and the remaining tries to switch it on."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` in seconds."""
        self._now = now
        self._since = now()
        self._on = self._was_on = False
        self._tries = 0

    def update(self, on: bool) -> None:
        """Note that the adapter is on, or off."""
        if on == self._on:
            return
        if self._on and self._now() - self._since >= _STABLE_S:
            self._tries = 0
        if on and not self._was_on:
            self._tries, self._was_on = 0, True
        self._on, self._since = on, self._now()

    @property
    def due_at(self) -> float | None:
        """When to switch it on; None if it is on, or is to stay off."""
        waits = _AFTER_USE_S if self._was_on else _AFTER_APPEARING_S
        if self._on or self._tries >= len(waits):
            return None
        return self._since + waits[self._tries]

    def due(self) -> bool:
        """Return whether to switch it on now; a True counts as a try."""
        due_at = self.due_at
        if due_at is None or self._now() < due_at:
            return False
        self._tries += 1
        self._since = self._now()
        return True
