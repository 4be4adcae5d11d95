"""Wall and monotonic time, and whether the wall clock can be trusted."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from healthd.samples import ClockState, Stamp

# systemd-timesyncd keeps this folder while it runs, and creates the file once it has synchronised.
TIMESYNC = Path("/run/systemd/timesync")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# No sample can be older than this code. A Pi without a battery-backed clock boots years earlier.
_EARLIEST_WALL_NS = 1_793_491_200_000_000_000  # 2026-11-01T00:00:00Z

# Checking for a file takes as long as a decode, and synchronisation takes minutes after boot.
_RECHECK_NS = 1_000_000_000

# While the clock is synchronised, it steps when someone sets it, or after a suspension. Each look
# wakes the process; a step counts from the same instant, however late it is found.
_STEP_CHECK_S = 10.0

# timesyncd slews smaller errors than this and steps larger ones (systemd-timesyncd(8)).
STEP_S = 0.4


class Clock:
    """Stamps arrivals. The wall clock is only read; every wait uses the monotonic clock."""

    def __init__(
        self, timesync: Path = TIMESYNC, earliest_wall_ns: int = _EARLIEST_WALL_NS
    ) -> None:
        """Read timesyncd's state in the folder ``timesync``; no time is before the earliest."""
        self._timesync = timesync
        self._earliest_wall_ns = earliest_wall_ns
        self._state: ClockState = "unsynced"
        self._checked_ns = -_RECHECK_NS

    def now(self) -> Stamp:
        """Return the present instant on both clocks."""
        wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        if mono_ns - self._checked_ns >= _RECHECK_NS:
            self._state = self._state_at(wall_ns)
            self._checked_ns = mono_ns
        return Stamp(wall_ns, mono_ns, self._state)

    def repaired(self, stamp: Stamp) -> Stamp:
        """Return a stamp of this boot with the wall time that is known by now.

        A stamp changes only if it was taken before the clock was synchronised, and only once the
        clock is: the monotonic clock says how long ago it was.
        """
        if stamp.clock == "synced":
            return stamp
        now = self.now()
        if now.clock == "unsynced":
            return stamp
        return Stamp(now.wall_ns - now.mono_ns + stamp.mono_ns, stamp.mono_ns, "synced")

    async def watch(
        self, on_step: Callable[[float], None], on_synced: Callable[[float], None]
    ) -> None:
        """Report steps of the wall clock, and when it becomes synchronised. Never returns.

        Args:
            on_step: called with the seconds of a step, forward (negative: back).
            on_synced: called with the seconds by which synchronisation corrected the clock.
        """
        before = self.now()
        while True:
            is_synced = before.clock == "synced"
            await asyncio.sleep(_STEP_CHECK_S if is_synced else _RECHECK_NS / 1e9)
            now = self.now()
            step_s = (now.wall_ns - now.mono_ns - before.wall_ns + before.mono_ns) / 1e9
            if before.clock == "unsynced" and now.clock == "synced":
                on_synced(step_s)
            elif abs(step_s) >= STEP_S:
                on_step(step_s)
            before = now

    def _state_at(self, wall_ns: int) -> ClockState:
        # If another program (chrony, a hypervisor) sets the clock, there is no timesyncd state, so
        # only the plausible range of the time remains as evidence.
        waiting = self._timesync.is_dir() and not (self._timesync / "synchronized").exists()
        return "unsynced" if waiting or wall_ns < self._earliest_wall_ns else "synced"


def boot_id(environ: Mapping[str, str]) -> str:
    """Return the id of this boot, to which monotonic times belong; empty if it is unknown.

    The unit hides /proc/sys and passes the id in the environment instead.
    """
    if given := environ.get("BOOT_ID"):
        return given.replace("-", "")
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
    except OSError:
        return ""
