"""The CPU time of a log line; there is one per transition, so a few per minute."""

import time
import timeit
from pathlib import Path

import orjson

from benchmarks.figures import Effort, Figure
from healthd.log import configure, get_logger, lines_lost

_LINES = 20_000


async def log(effort: Effort) -> list[Figure]:
    """Measure a line of the daemon; the floor is to serialise and write the same JSON."""
    figure = Figure("one log line", "µs")
    line = {
        "timestamp": "2026-11-28T12:00:00.000000Z",
        "level": "info",
        "event": "state",
        "peripheral": "strap",
        "state": "streaming",
    }
    number = effort.count(_LINES)
    with Path("/dev/null").open("w") as stream:  # noqa: ASYNC230 - nothing else runs
        logger = get_logger(peripheral="strap")

        def bare() -> None:
            stream.buffer.write(orjson.dumps(line) + b"\n")
            stream.buffer.flush()

        for _ in range(effort.rounds):
            configure(stream=stream)
            # The CPU time of the whole process, because a thread of the log does the writing.
            started_s = time.process_time()
            timeit.timeit(lambda: logger.info("state", state="streaming"), number=number)
            assert lines_lost() == 0
            configure()  # which waits for the last line
            figure.product.append((time.process_time() - started_s) / number * 1e6)
            figure.floor.append(timeit.timeit(bare, number=number) / number * 1e6)
    return [figure]
