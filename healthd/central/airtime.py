"""How long the radio was on: what periodic peripherals spare, in numbers."""

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

_SCAN = ""
"""Stands beside the peripherals' ids; none of them is empty."""


class Airtime:
    """Adds up the seconds of scanning, and of every peripheral's links."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` in seconds."""
        self._now = now
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._since: dict[str, float] = {}

    @contextmanager
    def scanning(self) -> Generator[None]:
        """The scanner runs while the block does."""
        with self.linked(_SCAN):
            yield

    @contextmanager
    def linked(self, peripheral: str) -> Generator[None]:
        """The peripheral has a link while the block runs."""
        self._since[peripheral] = self._now()
        try:
            yield
        finally:
            self._spent[peripheral] += self._now() - self._since.pop(peripheral)

    def forget(self, peripheral: str) -> None:
        """Nobody asks for the time of a peripheral that has no link, and will have none."""
        self._spent.pop(peripheral, None)

    def counters(self) -> dict[str, Any]:
        """For ``health``: ``scan_s``, and ``linked_s`` by peripheral, since the start."""
        now, spent = self._now(), self._spent.copy()
        for who, since in self._since.items():
            spent[who] += now - since
        rounded = {who: round(seconds, 1) for who, seconds in sorted(spent.items())}
        return {"scan_s": rounded.pop(_SCAN, 0.0), "linked_s": rounded}
