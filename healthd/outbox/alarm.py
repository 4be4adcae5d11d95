"""When the outbox's service works next: a time that is moved without waking it."""

import asyncio
import math


class Alarm:
    """Wakes one task, at once or at a time that can be moved while the task waits.

    Attributes:
        at: when it goes off, on the clock of the event loop; infinite if no time is set.
        is_waited_for: whether the task waits now.
    """

    def __init__(self) -> None:
        """Start without a time."""
        self.at = math.inf
        self.is_waited_for = False
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Wake the task at once, or at the beginning of its next ``wait``."""
        self._event.set()

    def set(self, at: float) -> None:
        """Move the time; it has no effect unless the task waits."""
        if not self.is_waited_for or at == self.at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._event.set)

    def advance(self, at: float) -> None:
        """Move the time if it is later than this."""
        if at < self.at:
            self.set(at)

    async def wait(self, at: float) -> None:
        """Wait until the time, which may be moved meanwhile, or until ``ring``."""
        self.is_waited_for = True
        self.set(at)
        try:
            await self._event.wait()
        finally:
            self.is_waited_for = False
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self.at = None, math.inf
        self._event.clear()
