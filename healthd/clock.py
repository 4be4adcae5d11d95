"""Wall and monotonic time, and whether the wall clock can be believed."""

import time
from pathlib import Path

from healthd.samples import ClockState, Stamp

# systemd-timesyncd keeps this directory while it runs and makes the file once it has synchronised.
TIMESYNC = Path("/run/systemd/timesync")

# No sample can be older than this code: a Pi without a battery-backed clock boots years earlier.
_EARLIEST_WALL_NS = 1_793_491_200_000_000_000  # 2026-11-01T00:00:00Z

# A file look-up costs as much as a decode, and synchronisation is a matter of minutes after boot.
_RECHECK_NS = 1_000_000_000


class Clock:
    """Stamps arrivals. The wall clock is asked for time only, never to wait on."""

    def __init__(self, timesync: Path = TIMESYNC) -> None:
        """Look for timesyncd's state below ``timesync``."""
        self._timesync = timesync
        self._state: ClockState = "unsynced"
        self._checked_ns = -_RECHECK_NS

    def now(self) -> Stamp:
        """This instant on both clocks."""
        wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        if mono_ns - self._checked_ns >= _RECHECK_NS:
            self._state = self._believable(wall_ns)
            self._checked_ns = mono_ns
        return Stamp(wall_ns, mono_ns, self._state)

    def _believable(self, wall_ns: int) -> ClockState:
        # Where another daemon (chrony, a hypervisor) sets the clock there is no timesyncd state
        # to read, so only the plausible range remains as evidence.
        waiting = self._timesync.is_dir() and not (self._timesync / "synchronized").exists()
        return "unsynced" if waiting or wall_ns < _EARLIEST_WALL_NS else "synced"
