"""How long the radio was on: the numbers that show what periodic peripherals save."""

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

_SCAN = ""
"""The key of the scanner among the peripherals' ids, which are never empty."""


class Airtime:
    """The seconds of scanning, and of each peripheral's links."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        """``now`` in seconds; None: the monotonic clock."""
        self._now = now or time.monotonic
        self._began = self._now()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._since: dict[str, float] = {}

    @contextmanager
    def scanning(self) -> Generator[None]:
        """Count the duration of the block as scanning."""
        with self.linked(_SCAN):
            yield

    @contextmanager
    def linked(self, peripheral: str) -> Generator[None]:
        """Count the duration of the block as a link of the peripheral."""
        self._since[peripheral] = self._now()
        try:
            yield
        finally:
            self._spent[peripheral] += self._now() - self._since.pop(peripheral)

    def forget(self, peripheral: str) -> None:
        """Drop the time of a peripheral that was removed and has no link."""
        self._spent.pop(peripheral, None)

    @property
    def scanned_s(self) -> float:
        """How long the scanner has run since the start."""
        since = self._since.get(_SCAN)
        return self._spent.get(_SCAN, 0.0) + (0.0 if since is None else self._now() - since)

    def counters(self) -> dict[str, Any]:
        """Return the times since the start, for ``health``.

        ``scan_s``, its share ``scan_duty_pct`` of all time, and ``linked_s`` by peripheral.
        """
        now, spent = self._now(), self._spent.copy()
        for key, since in self._since.items():
            spent[key] += now - since
        rounded = {key: round(seconds, 1) for key, seconds in sorted(spent.items())}
        scan_s = rounded.pop(_SCAN, 0.0)
        duty_pct = round(min(100.0, 100 * spent[_SCAN] / max(now - self._began, 1e-3)), 1)
        return {"scan_s": scan_s, "scan_duty_pct": duty_pct, "linked_s": rounded}
