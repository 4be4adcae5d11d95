"""``make fuzz``: try all parsers with changed inputs, two at a time."""

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import explore, keep
from tests.fuzz.engine import Outcome
from tests.fuzz.target import load, names


def main() -> int:
    """Run the command; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names()))
    parser.add_argument("--minutes", type=float, default=10, help="for each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--file", type=Path, help="try only this input, of the one TARGET")
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - set(names()):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if chosen.file is not None:
        (name,) = chosen.targets
        with load(name) as target:
            target.fuzz(chosen.file.read_bytes())
        return 0
    wanted = chosen.targets or names()
    _say(f"{len(wanted)} targets, {chosen.minutes:g} min each, seed {chosen.seed}")
    # A new process for each: what one target leaves in memory must not slow down the next.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        arguments = zip(
            wanted, [60 * chosen.minutes] * len(wanted), [chosen.seed] * len(wanted), strict=True
        )
        failed = [_report(*done) for done in pool.map(explore, *zip(*arguments, strict=True))]
    return int(any(failed))


def _report(name: str, outcome: Outcome) -> bool:
    """Print what a target found; return whether anything failed."""
    _say(
        f"{name}: {outcome.executions} inputs, {outcome.lines} lines of healthd, "
        f"{len(outcome.found)} new inputs kept, {len(outcome.failures)} failures"
    )
    for failure in outcome.failures.values():
        file = keep(name, failure.data, "failure")
        _say(f"\n{failure.report}\n{failure.where}: {len(failure.data)} bytes. To repeat it:")
        _say(f"  .venv/bin/python -m tests.fuzz {name} --file {file}\n")
    return bool(outcome.failures)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
