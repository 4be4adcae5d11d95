"""``healthd decode --capture`` on a long log, against tshark, which extracts the same values."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import big_log
from benchmarks.figures import Budget, Effort, Figure, NotMeasured

# With headers, a log of 200 MB.
_VALUES = 1_000_000

_FIELDS = (
    "frame.time_epoch",
    "btatt.opcode",
    "btatt.handle",
    # Only of characteristics that tshark does not know. The others have fields of their own.
    "btatt.value",
    "btatt.heart_rate_measurement.value.8",
    "btatt.heart_rate_measurement.rr_interval",
    "btatt.cycling_power_measurement.instantaneous_power",
    "btatt.cycling_power_measurement.crank_revolution_data_cumulative_crank_revolutions",
    "btatt.cycling_power_measurement.crank_revolution_data_last_crank_event_time",
)


async def captures(effort: Effort) -> list[Figure]:
    """Measure the time for the whole log, and the most memory that decoding it takes."""
    if shutil.which("tshark") is None:
        raise NotMeasured("no tshark on this machine: apt-get install tshark")
    took = Figure(
        "decode a log of a million values",
        "s",
        budget=Budget(0.2, of_ratio=True),
        note="healthd decodes each value; tshark extracts some fields",
    )
    memory = Figure("most memory of that", "MB", budget=Budget(60))
    fields = [word for field in _FIELDS for word in ("-e", field)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.btsnoop")
        big_log.write(log, effort.count(_VALUES))
        ours = [sys.executable, "-m", "healthd", "decode", "--capture", str(log)]
        theirs = ["tshark", "-r", str(log), "-Y", "btatt", "-T", "fields", *fields]
        for _ in range(effort.rounds):
            seconds, most_mb = await asyncio.to_thread(_measured, ours)
            took.product.append(seconds)
            memory.product.append(most_mb)
            took.floor.append((await asyncio.to_thread(_measured, theirs))[0])
    return [took, memory]


def _measured(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes, and its peak memory in megabytes."""
    started_s = time.monotonic()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere, 1), (os.POSIX_SPAWN_DUP2, nowhere, 2)]
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
    finally:
        os.close(nowhere)
    if status:
        raise RuntimeError(f"{command[0]} failed: {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started_s, usage.ru_maxrss / 1024
