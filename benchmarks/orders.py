"""Shared by the measured processes: orders on standard input, answers on standard output.

Each is one JSON object per line. Product and floor get the same orders:

``burst``  ``count`` samples as fast as they are acknowledged, ``WINDOW`` of them at once. The
           product takes another ``window``: in an outage it is what waits in memory for the disk.
``pace``   every peripheral sends ``hz`` times a second for ``seconds``, each with its own phase.

The answer has ``count``, ``cpu_s`` (all threads of that process, until the last PUBACK) and
``wall_s``.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson

WINDOW = 20
"""Unacknowledged samples at once during a burst; the daemon allows as many."""

Order = dict[str, Any]
Answer = dict[str, Any]


class Stopwatch:
    """CPU time of this process and wall time, counted from creation."""

    def __init__(self) -> None:
        """Start."""
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def answer(self, count: int) -> Answer:
        """Return what was spent on ``count`` samples."""
        cpu_s, wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s
        return {"count": count, "cpu_s": cpu_s, "wall_s": wall_s}


def schedule(peripherals: int, hz: float, seconds: float) -> Iterator[tuple[float, int]]:
    """Yield when each peripheral sends, in seconds from the start: the same for product and floor.

    Phases are random, so that notifications are neither simultaneous nor evenly spaced.
    """
    rng = random.Random(1)
    period_s = 1 / hz
    phases = sorted((rng.random() * period_s, strap) for strap in range(peripherals))
    for turn in range(round(seconds * hz)):
        for phase_s, strap in phases:
            yield turn * period_s + phase_s, strap


def write_answer(answer: Answer) -> None:
    """Write a line to standard output."""
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


def arguments(program: str) -> argparse.Namespace:
    """Parse the command line of a measured process, and bind the process to its CPU."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{program}")
    parser.add_argument("--port", type=int, required=True, help="of the broker")
    parser.add_argument("--peripherals", type=int, default=8)
    parser.add_argument("--cpu", type=int, help="the only CPU that it may use")
    parser.add_argument("--folder", help="of the outbox")
    parser.add_argument("--max-size", default="4MB", help="of the outbox")
    parser.add_argument("--gateway", help="the gateway's id, if two share a broker")
    parser.add_argument("--thread", action="store_true", help="leave the network to paho's thread")
    parsed = parser.parse_args()
    if parsed.cpu is not None:
        os.sched_setaffinity(0, {parsed.cpu})
    return parsed
