"""``healthd decode --capture`` on a long log, against tshark, which extracts the same values."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks import big_log, proc
from benchmarks.figures import Budget, Effort, Figure, NotMeasured

# With headers, a log of 200 MB.
_VALUES = 1_000_000

# The peak only grows, so the last look misses little.
_LOOK_S = 0.05

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
    """Measure the time for the whole log, its CPU time, and the most memory that it takes."""
    if shutil.which("tshark") is None:
        raise NotMeasured("no tshark on this machine: apt-get install tshark")
    took = Figure(
        "decode a log of a million values",
        "s",
        budget=Budget(0.2, of_ratio=True),
        note="healthd decodes each value; tshark extracts some fields",
    )
    cpu = Figure("CPU time of that", "s")
    memory = Figure("most memory of that", "MB", budget=Budget(60))
    fields = [word for field in _FIELDS for word in ("-e", field)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.btsnoop")
        big_log.write(log, effort.count(_VALUES))
        ours = [sys.executable, "-m", "healthd", "decode", "--capture", str(log)]
        theirs = ["tshark", "-r", str(log), "-Y", "btatt", "-T", "fields", *fields]
        for _ in range(effort.rounds):
            for command, seconds, cpu_s in (
                (ours, took.product, cpu.product),
                (theirs, took.floor, cpu.floor),
            ):
                done = await asyncio.to_thread(_measured, command)
                seconds.append(done.seconds)
                cpu_s.append(done.cpu_s)
                if command is ours:
                    memory.product.append(done.most_mb)
    return [took, cpu, memory]


class _Done(NamedTuple):
    """What a command took: seconds, CPU seconds, and its peak memory in megabytes of 10^6 bytes."""

    seconds: float
    cpu_s: float
    most_mb: float


def _measured(command: list[str]) -> _Done:
    """Run a command; return what it took."""
    started_s, most_mb = time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while True:
            pid, status, usage = os.wait4(running.pid, os.WNOHANG)
            if pid:
                break
            # The kernel's own figure at the end counts this process, which it was forked from.
            with suppress(OSError, StopIteration):
                most_mb = max(most_mb, proc.peak_mb(running.pid))
            time.sleep(_LOOK_S)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{command[0]} failed: {running.returncode}")
    return _Done(time.monotonic() - started_s, usage.ru_utime + usage.ru_stime, most_mb)
