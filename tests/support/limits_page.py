"""The tables of docs/limits.md, read for tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "healthd"
PAGE = ROOT / "docs" / "limits.md"

_FILE = re.compile(r"`([a-z0-9_/]+\.py)`((?: `\w+`)*)")
_NAME = re.compile(r"`(\w+)`")
_TEST = re.compile(r"`([\w/]+\.py::\w+)`")
_BYTES = {"kB": 1000, "KiB": 1024, "MB": 10**6, "MiB": 2**20}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        what: its first cell.
        where: the attributes that it is about, each with its file below `healthd`.
        items: how many entries each may have; None if the row names no number.
        size: how many bytes each may have; None likewise.
        tests: the tests that it names, each as file and function.
    """

    what: str
    where: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    items: int | None
    size: int | None
    tests: tuple[tuple[str, str], ...]


def rows() -> list[Row]:
    """Return all rows of all tables."""
    return [_row(cells) for cells in _cells()]


def listed() -> dict[tuple[str, str], Row]:
    """Return the row of each attribute, by its file and name."""
    return {place: row for row in rows() for place in row.where}


def _cells() -> Iterator[list[str]]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| what |", "| one for each |")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _row(cells: list[str]) -> Row:
    what, where, *rest = cells
    bound, size, _, tests = (*rest, "", "", "", "")[:4]
    found = _FILE.findall(where)
    return Row(
        what,
        tuple((file, name) for file, names in found for name in _NAME.findall(names)),
        tuple(file for file, _ in found),
        _number(bound),
        _size(size),
        tuple(tuple(test.split("::")) for test in _TEST.findall(tests)),
    )


def _number(text: str) -> int | None:
    found = re.match(r"([\d,]+)(?! ?[KM]i?B)\b", text)
    return int(found[1].replace(",", "")) if found else None


def _size(text: str) -> int | None:
    found = re.match(r"([\d.,]+) (kB|KiB|MB|MiB)\b", text)
    return int(float(found[1].replace(",", "")) * _BYTES[found[2]]) if found else None
