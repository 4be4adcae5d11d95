"""Timers: when a peripheral's results have been held back for long enough."""

import asyncio
from collections.abc import Callable


class Settling:
    """One timer for each peripheral that has something to settle."""

    def __init__(self, settle: Callable[[str], None], now_ns: Callable[[], int]) -> None:
        """Prepare.

        Args:
            settle: called with the peripheral's id when its time has come.
            now_ns: returns the present time of the monotonic clock.
        """
        self._settle = settle
        self._now_ns = now_ns
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def schedule(self, peripheral: str, due_ns: int | None) -> None:
        """Replace the peripheral's timer.

        Args:
            peripheral: its id.
            due_ns: when to settle, by the monotonic clock; None: there is nothing to settle.
        """
        if (timer := self._timers.pop(peripheral, None)) is not None:
            timer.cancel()
        if due_ns is not None:
            wait_s = max(0, due_ns - self._now_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self._timers[peripheral] = loop.call_later(wait_s, self._settle, peripheral)
