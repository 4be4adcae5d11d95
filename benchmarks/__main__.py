"""Figures against budgets and floors: ``make bench``, or ``python -m benchmarks --only cpu drain``.

Everything is measured on this machine, in this run, against a real mosquitto on loopback. Product
and floor take turns, each in a process of its own: on a shared machine only their ratio can be
trusted. ``--quick`` only shows that everything works. ``--against COMMIT`` compares with that
commit instead of with floors.
"""

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path

import orjson

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
from benchmarks.comparison import delivering, running, starting
from benchmarks.comparison.pair import Comparison, Pair
from benchmarks.figures import QUICK, THOROUGH, Effort, Figure, Measure, NotMeasured
from benchmarks.trees import WORKING, NotBuilt, Tree, built
from tests.support.mosquitto import MOSQUITTO

MEASURES: dict[str, Measure] = {
    "cpu": delivery.cpu,
    "latency": delivery.latency,
    "sustained": delivery.sustained,
    "growth": delivery.growth,
    "memory": service.memory,
    "slope": endurance.slope,
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

COMPARISONS: dict[str, Comparison] = {
    "memory": running.memory,
    "import": starting.imports,
    "start": starting.start,
    "cpu": delivering.cpu,
    "rest": running.rest,
    "pace": running.pace,
    "first": starting.first,
    "outage": delivering.outage,
}


def _measures(pair: Pair | None) -> dict[str, Measure]:
    """Return what can be measured, by name: of two trees, or of one against floors."""
    if pair is None:
        return MEASURES
    return {name: partial(compare, pair) for name, compare in COMPARISONS.items()}


async def measured(measures: dict[str, Measure], effort: Effort) -> list[Figure]:
    """Return the figures of these measurements, made one after another."""
    figures: list[Figure] = []
    for name, measure in measures.items():
        _say(f"{name} ...")
        try:
            figures += await measure(effort)
        except NotMeasured as reason:
            _say(f"{name}: NOT MEASURED: {reason}")
    return figures


def main() -> int:
    """Measure, print and write the figures; return 1 if a budget is missed."""
    arguments = _arguments()
    if MOSQUITTO is None:
        _say("no mosquitto on this machine: apt-get install mosquitto")
        return 1
    WORKING.compile()
    try:
        pair = Pair(WORKING, _other(arguments.against)) if arguments.against else None
    except NotBuilt as reason:
        _say(str(reason))
        return 1
    measures = _measures(pair)
    if unknown := set(arguments.only) - measures.keys():
        _say(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(measures)}")
        return 1
    chosen = {name: measures[name] for name in arguments.only or measures}
    effort = QUICK if arguments.quick else THOROUGH
    if arguments.rounds:
        effort = effort._replace(rounds=arguments.rounds)
    figures = asyncio.run(measured(chosen, effort))
    show = report.markdown if arguments.markdown else report.text
    names = report.OF_TREES if pair else report.OF_FLOORS
    sys.stdout.write(f"{show(figures, names)}\n")
    if arguments.json is not None:
        rows = [one.as_json() for one in figures]
        arguments.json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    return int(any(one.verdict == "missed" for one in figures))


def _other(commit: str) -> Tree:
    _say(f"building {commit} ...")
    tree = built(commit)
    tree.compile()
    return tree


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - only the table goes to standard output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument(
        "--against", metavar="COMMIT", help="build this commit too, and compare with it"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short run; the figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to this file")
    parser.add_argument(
        "--markdown", action="store_true", help="write the table as in docs/performance.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
