"""Captures with what a second source says of them: the folders in ``tests/captures``."""

import tomllib
from pathlib import Path
from typing import Any

from healthd.capture.measurements import Measured, measurements
from healthd.capture.reading import read
from healthd.capture.to_test import TO_BE_CONFIRMED
from healthd.profiles.registry import load

FOLDER = Path(__file__).parents[1] / "captures"


def expected_in(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))


def check(folder: Path) -> None:
    """Raise AssertionError unless the capture is confirmed and measured as expected."""
    expected = expected_in(folder)
    source = expected["source"]
    assert source and not source.startswith(TO_BE_CONFIRMED), (
        f"{folder.name}: no one has confirmed these values. Compare them with a second source, and "
        "name it as `source` in expected.toml"
    )
    measured = list(measurements(read(folder / "capture.jsonl"), load()))
    tables = expected["measurement"]
    kinds = [(table["t"], table["device"], table["kind"]) for table in tables]
    assert [(each.t, each.device, each.kind) for each in measured] == kinds
    for found, table in zip(measured, tables, strict=True):
        compared = shown(found, table)
        assert compared == table, f"{folder.name}: {compared} is not {table}"


def shown(found: Measured, table: dict[str, Any]) -> dict[str, Any]:
    """Return a measurement as a table with the keys that are compared."""
    fields = found.fields
    row: dict[str, Any] = {"t": found.t, "device": found.device, "kind": found.kind}
    row["values"] = {key: fields.get(key, "missing") for key in table["values"]}
    if found.fact or "fact" in table:
        row["fact"] = found.fact
    if "null" in table:
        row["null"] = [key for key in table["null"] if fields.get(key, "missing") is None]
    return row
