"""``healthd doctor``: what is wrong with this gateway, and how to fix it."""

import asyncio
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.text import Text

from healthd.cli.run import DEFAULT_CONFIG, EXIT_FAILED
from healthd.doctor.examination import examine
from healthd.doctor.finding import Finding, Status
from healthd.doctor.machine import Machine
from healthd.log import configure
from healthd.profiles import registry

_STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.WRONG: "bold red",
    Status.SKIPPED: "dim",
}


def main(config: Path | None, as_json: bool, machine: Machine | None = None) -> int:
    """Check everything and say each thing.

    Args:
        config: the settings; None for the usual ones.
        as_json: one JSON object instead of lines for people.
        machine: what is looked at; None for this one.

    Returns:
        The exit code: 0, 1 something is wrong.
    """
    configure("warning")
    file = config or DEFAULT_CONFIG
    installed = file == DEFAULT_CONFIG
    looked_at = machine or Machine(os.environ)
    findings = asyncio.run(examine(looked_at, file, registry.load(), installed=installed))
    is_wrong = any(one.status is Status.WRONG for one in findings)
    if as_json:
        report = {"ok": not is_wrong, "findings": [asdict(one) for one in findings]}
        sys.stdout.buffer.write(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE))
    else:
        _show(findings)
    return EXIT_FAILED if is_wrong else 0


def _show(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True)
    indent = max(len(status.value) for status in Status) + 1
    width = max(len(one.check) for one in findings) + 1
    for one in findings:
        found = f"{one.of}: {one.found}" if one.of else one.found
        status = Text(one.status.value.ljust(indent), _STYLES[one.status])
        console.print(status + Text(f"{one.check:{width}}{found}"))
        if one.fix:
            console.print(Text(f"{'':{indent}}→ {one.fix}"))
    counts = Counter(one.status for one in findings)
    # Who only looks at the end must see how much could not be judged.
    console.print(Text(", ".join(f"{counts[status]} {status}" for status in Status)))
