"""How often something may happen: some times at once, and then on average."""

import time


class Budget:
    """What is left to be spent; it is full at the beginning, and fills up with time."""

    def __init__(self, count: int, every_s: float) -> None:
        """Start full.

        Args:
            count: how often at once.
            every_s: how many seconds it takes until there is one more.
        """
        self._count = count
        self._every_s = every_s
        self._left = float(count)
        self._at = time.monotonic()

    def wait_s(self) -> float:
        """Return after how many seconds something may happen; 0: now."""
        now = time.monotonic()
        self._left = min(self._count, self._left + (now - self._at) / self._every_s)
        self._at = now
        return max(0.0, (1 - self._left) * self._every_s)

    def spend(self) -> None:
        """Note that it happens now, whether it may or not."""
        self.wait_s()
        self._left -= 1
