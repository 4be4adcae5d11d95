"""When an adapter that is off is switched on, and when somebody else's decision is left alone."""

import time
from collections.abc import Callable

# Never seen on since it appeared: nobody decided that, a boot did (raspberrypi/linux#6462). BlueZ's
# own AutoEnable is given a moment first.
_AFTER_APPEARING_S = (3.0, 10.0, 30.0, 120.0, 600.0)

# Switched off while we used it: by a person, or by rfkill. An accident is mended; whoever switches
# it off again and again means it, and has it off after the third time.
_AFTER_USE_S = (30.0, 120.0, 600.0)

# On for so long, an adapter has its tries back.
_STABLE_S = 600.0


class Power:
    """One adapter's power, and the tries that are left to switch it on."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` in seconds."""
        self._now = now
        self._since = now()
        self._on = self._was_on = False
        self._tries = 0

    def seen(self, on: bool) -> None:
        """The adapter is on, or off."""
        if on == self._on:
            return
        if self._on and self._now() - self._since >= _STABLE_S:
            self._tries = 0
        if on and not self._was_on:
            self._tries, self._was_on = 0, True
        self._on, self._since = on, self._now()

    def due(self) -> bool:
        """Whether it is time to switch it on; a try that is due is taken to be made."""
        waits = _AFTER_USE_S if self._was_on else _AFTER_APPEARING_S
        if self._on or self._tries >= len(waits):
            return False
        if self._now() - self._since < waits[self._tries]:
            return False
        self._tries += 1
        self._since = self._now()
        return True
