"""Figures against budgets and floors: ``make bench``, or ``python -m benchmarks --only cpu drain``.

Everything is measured on this machine, in this run, against a real mosquitto on loopback. Product
and floor take turns, each in a process of its own: on a shared machine only their ratio can be
trusted. ``--quick`` only shows that everything works.
"""

import argparse
import asyncio
import compileall
import sys
from pathlib import Path

import orjson

import healthd
from benchmarks import (
    backlog,
    decoding,
    delivery,
    endurance,
    foreign,
    logline,
    outage,
    report,
    service,
    storm,
)
from benchmarks.figures import QUICK, THOROUGH, Effort, Figure, Measure, NotMeasured
from tests.support.mosquitto import MOSQUITTO

MEASURES: dict[str, Measure] = {
    "cpu": delivery.cpu,
    "latency": delivery.latency,
    "sustained": delivery.sustained,
    "growth": delivery.growth,
    "memory": service.memory,
    "slope": endurance.slope,
    "week": endurance.week,
    "start": service.start,
    "rest": service.rest,
    "disk": outage.disk,
    "drain": outage.drain,
    "backlog": backlog.backlog,
    "storm": storm.storm,
    "recovery": service.recovery,
    "foreign": foreign.foreign,
    "decode": decoding.decode,
    "log": logline.log,
}


async def measured(names: list[str], effort: Effort) -> list[Figure]:
    """Return the figures of these measurements, made one after another."""
    figures: list[Figure] = []
    for name in names:
        _say(f"{name} ...")
        try:
            figures += await MEASURES[name](effort)
        except NotMeasured as reason:
            _say(f"{name}: NOT MEASURED: {reason}")
    return figures


def main() -> int:
    """Measure, print and write the figures; return 1 if a budget is missed."""
    arguments = _arguments()
    if MOSQUITTO is None:
        _say("no mosquitto on this machine: apt-get install mosquitto")
        return 1
    # As pip does on installation: compiling at each start would take time, and 8 MB.
    compileall.compile_dir(healthd.__path__[0], quiet=1)
    effort = QUICK if arguments.quick else THOROUGH
    figures = asyncio.run(measured(arguments.only, effort))
    show = report.markdown if arguments.markdown else report.text
    sys.stdout.write(f"{show(figures)}\n")
    if arguments.json is not None:
        rows = [one.as_json() for one in figures]
        arguments.json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    return int(any(one.verdict == "missed" for one in figures))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - only the table goes to standard output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    every = list(MEASURES)
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="NAME")
    parser.add_argument(
        "--quick", action="store_true", help="a short run; the figures mean nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to this file")
    parser.add_argument(
        "--markdown", action="store_true", help="write the table as in docs/performance.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
