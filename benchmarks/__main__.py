"""Figures against budgets and floors: ``make bench``, or ``python -m benchmarks --only cpu drain``.

Everything is measured on this machine, in this run, against a real mosquitto on loopback. Product
and floor take turns, each in a process of its own: on a shared machine only their ratio can be
trusted. ``--quick`` only shows that everything works. ``--against COMMIT`` compares with that
commit instead of with floors, and ``--peers`` with what people run instead of healthd.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

from benchmarks import (
    backlog,
    captures,
    decoding,
    delivery,
    endurance,
    foreign,
    logline,
    outage,
    parts,
    report,
    service,
    storm,
)
from benchmarks.comparison import against, peers
from benchmarks.figures import QUICK, THOROUGH, Effort, Figure, Measure, NotMeasured
from benchmarks.trees import WORKING, NotBuilt, built
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
    "captures": captures.captures,
    "log": logline.log,
}


_T = TypeVar("_T")


class Result(NamedTuple):
    """What was measured.

    Attributes:
        table: for people.
        rows: for programs.
        missed: whether a budget was missed.
    """

    table: report.Table
    rows: list[dict[str, Any]]
    missed: bool


async def measured(
    measures: Mapping[str, Callable[[Effort], Awaitable[list[_T]]]],
    chosen: Sequence[str],
    effort: Effort,
) -> list[_T]:
    """Return the rows of these measurements, made one after another; of all, if none is chosen."""
    rows: list[_T] = []
    for name in chosen or measures:
        _say(f"{name} ...")
        try:
            rows += await measures[name](effort)
        except NotMeasured as reason:
            _say(f"{name}: NOT MEASURED: {reason}")
    return rows


async def against_floors(chosen: Sequence[str], effort: Effort) -> Result:
    """Measure healthd and its floors."""
    return _judged(await measured(MEASURES, chosen, effort), report.OF_FLOORS)


async def against_commit(commit: str, chosen: Sequence[str], effort: Effort) -> Result:
    """Measure the working tree and another commit."""
    _say(f"building {commit} ...")
    old = built(commit)
    old.compile()
    measures = against.measures(against.Pair(WORKING, old))
    figures = await measured(measures, chosen, effort)
    if not old.root.name.startswith(against.BASELINE):
        figures = [against.without_budgets(figure) for figure in figures]
    return _judged(figures, report.OF_TREES)


async def against_peers(chosen: Sequence[str], effort: Effort) -> Result:
    """Measure healthd and its peers."""
    _say("installing the peers ...")
    contenders = peers.contenders()
    rows = await measured(peers.measures(contenders), chosen, effort)
    names = [one.name for one in contenders]
    return Result(report.of_peers(rows, names), [row.as_json(names) for row in rows], missed=False)


async def of_parts(effort: Effort) -> Result:
    """Measure what the memory and the start of healthd go into."""
    table = await parts.parts(effort)
    rows = [dict(zip(table.headings, row, strict=True)) for row in table.rows]
    return Result(table, rows, missed=False)


def _judged(figures: list[Figure], names: tuple[str, str]) -> Result:
    missed = any(one.verdict == "missed" for one in figures)
    return Result(report.of_figures(figures, names), [one.as_json() for one in figures], missed)


def main() -> int:
    """Measure, print and write the figures; return 1 if a budget is missed."""
    arguments = _arguments()
    if MOSQUITTO is None:
        _say("no mosquitto on this machine: apt-get install mosquitto")
        return 1
    WORKING.compile()
    effort, chosen = QUICK if arguments.quick else THOROUGH, arguments.only
    if arguments.rounds:
        effort = effort._replace(rounds=arguments.rounds)
    if arguments.parts:
        measuring = of_parts(effort)
    elif arguments.against:
        measuring = against_commit(arguments.against, chosen, effort)
    elif arguments.peers:
        measuring = against_peers(chosen, effort)
    else:
        measuring = against_floors(chosen, effort)
    try:
        result = asyncio.run(measuring)
    except NotBuilt as reason:
        _say(str(reason))
        return 1
    table = result.table
    sys.stdout.write(f"{table.markdown() if arguments.markdown else table.text()}\n")
    if arguments.json is not None:
        arguments.json.write_bytes(orjson.dumps(result.rows, option=orjson.OPT_INDENT_2))
    return int(result.missed)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - only the table goes to standard output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--against", metavar="COMMIT", help="build this commit too, and compare with it"
    )
    others.add_argument(
        "--peers", action="store_true", help="compare with what people run instead of healthd"
    )
    others.add_argument(
        "--parts", action="store_true", help="what memory and start of healthd go into"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short run; the figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to this file")
    parser.add_argument(
        "--markdown", action="store_true", help="write the table as in docs/performance.md"
    )
    parsed = parser.parse_args()
    names = against.NAMES if parsed.against else peers.NAMES if parsed.peers else tuple(MEASURES)
    if unknown := set(parsed.only) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
