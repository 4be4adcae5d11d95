"""What the kernel reports about a process."""

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mb(pid: int) -> float:
    """Return resident memory, in megabytes of 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6


def peak_mb(pid: int) -> float:
    """Return the highest resident memory so far, in megabytes of 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e6


def cpu_s(pid: int) -> float:
    """Return the CPU time of all its living threads, with nanosecond resolution."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in tasks) / 1e9


def written_bytes(pid: int) -> int:
    """Return the number of bytes that it caused to be written to disks."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def switches(pid: int) -> tuple[int, int]:
    """Return how often its living threads were switched away: all times, and to wait.

    A thread that waits is woken later: the second number counts wake-ups.
    """
    waits = others = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        counts = dict(line.split(":\t") for line in lines if "ctxt_switches" in line)
        waits += int(counts["voluntary_ctxt_switches"])
        others += int(counts["nonvoluntary_ctxt_switches"])
    return waits + others, waits
