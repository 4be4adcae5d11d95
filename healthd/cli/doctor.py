"""``healthd doctor``: check this gateway and show how to fix problems."""

import asyncio
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from healthd.cli import console, tables
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
    """Check everything and print the findings.

    Args:
        config: the settings; None for the default file.
        as_json: print one JSON object instead of lines of text.
        machine: the machine to check; None for this one.

    Returns:
        The exit code: 0, 1 something is wrong.
    """
    configure("warning")
    file = config or DEFAULT_CONFIG
    installed = file == DEFAULT_CONFIG
    examined = machine or Machine(os.environ)
    findings = asyncio.run(examine(examined, file, registry.load(), installed=installed))
    is_wrong = any(finding.status is Status.WRONG for finding in findings)
    if as_json:
        report = {"ok": not is_wrong, "findings": [asdict(finding) for finding in findings]}
        console.say_json(report)
    else:
        _show(findings)
    return EXIT_FAILED if is_wrong else 0


def _show(findings: list[Finding]) -> None:
    indent = max(len(status.value) for status in Status) + 1
    width = max(len(finding.check) for finding in findings) + 1
    for finding in findings:
        found = f"{finding.of}: {finding.found}" if finding.of else finding.found
        status = tables.cell(finding.status.value.ljust(indent), _STYLES[finding.status])
        tables.show(status + tables.line(f"{finding.check:{width}}{found}"), soft_wrap=True)
        if finding.fix:
            tables.show(tables.line(f"{'':{indent}}→ {finding.fix}"), soft_wrap=True)
    counts = Counter(finding.status for finding in findings)
    # The summary includes skipped checks, so that they are not mistaken for passed ones.
    tables.show(tables.line(", ".join(f"{counts[status]} {status}" for status in Status)))
