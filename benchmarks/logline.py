"""The cost of a log line; there is one per transition, so a few per minute."""

import timeit
from pathlib import Path

import orjson

from benchmarks.figures import Effort, Figure
from healthd.log import configure, get_logger

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
        configure(stream=stream)
        logger = get_logger(peripheral="strap")

        def bare() -> None:
            stream.buffer.write(orjson.dumps(line) + b"\n")
            stream.buffer.flush()

        for _ in range(effort.rounds):
            taken_s = timeit.timeit(lambda: logger.info("state", state="streaming"), number=number)
            figure.product.append(taken_s / number * 1e6)
            figure.floor.append(timeit.timeit(bare, number=number) / number * 1e6)
        configure()
    return [figure]
