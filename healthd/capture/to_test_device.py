"""A test of a whole device: its capture, and what healthd measures in it."""

from itertools import islice
from pathlib import Path

from healthd.capture import toml
from healthd.capture.measurements import Measured, measurements
from healthd.capture.to_test import TO_BE_CONFIRMED, NothingToTest, checked_name, lines_for_test
from healthd.profiles.registry import load
from healthd.traffic.codec import encode
from healthd.traffic.lines import Line

# What a reviewer can read, and what a repository can hold.
_MOST_MEASUREMENTS = 2000
_MOST_BYTES = 1_000_000

_SHORTER = "expected a shorter capture, for example its first lines"


def device_test(file: Path, name: str, folder: Path) -> dict[Path, str]:
    """Write ``captures/NAME/capture.jsonl`` and ``expected.toml`` into the folder of tests.

    Args:
        file: any file that ``healthd.capture.reading.read`` reads.
        name: of the test.
        folder: the folder of tests.

    Returns:
        The new files, and what is in them.

    Raises:
        NothingToTest: healthd measures nothing in it, or too much; or there is such a test.
        BadCapture: the file is damaged.
        OSError: a file cannot be read or written.
    """
    target = folder / "captures" / checked_name(name)
    if not folder.is_dir():
        raise NothingToTest(f"{folder} is no folder, expected the folder tests of a clone")
    if target.exists():
        raise NothingToTest(f"{target} exists, expected a new name")
    lines, text = _short(file)
    found = list(islice(measurements(lines, load()), _MOST_MEASUREMENTS + 1))
    if not found:
        raise NothingToTest("healthd measures nothing in it, expected values that it decodes")
    if len(found) > _MOST_MEASUREMENTS:
        raise NothingToTest(f"found more than {_MOST_MEASUREMENTS} measurements, {_SHORTER}")
    target.mkdir(parents=True)
    capture, expected = target / "capture.jsonl", target / "expected.toml"
    capture.write_bytes(text)
    expected.write_text("".join([_HEAD, *map(_table, found)]), encoding="utf-8")
    return {
        capture: f"{len(lines)} lines",
        expected: f"{len(found)} measurements",
    }


def _short(file: Path) -> tuple[list[Line], bytes]:
    """Return the lines of a file, and the same as text."""
    lines: list[Line] = []
    text = bytearray()
    for line in lines_for_test(file):
        lines.append(line)
        text += encode(line) + b"\n"
        if len(text) > _MOST_BYTES:
            raise NothingToTest(f"found more than {_MOST_BYTES} bytes, {_SHORTER}")
    return lines, bytes(text)


_HEAD = f"""\
# What the second source says of the values in capture.jsonl. Remove keys that it does not know:
# they are not compared. CONTRIBUTING.md, "A capture becomes a test", says how to confirm it.
source = "{TO_BE_CONFIRMED}"
"""


def _table(measured: Measured) -> str:
    kept, nulls = toml.without_null(measured.fields)
    lines = [
        "\n[[measurement]]",
        f"t = {measured.t}",
        f"device = {toml.value(measured.device)}",
        f"kind = {toml.value(measured.kind)}",
    ]
    if measured.fact:
        lines.append("fact = true")
    lines += [f"values = {toml.table(_sayable(kept))}"]
    if nulls:
        lines.append(f"null = {toml.value(nulls)}")
    return "\n".join(lines) + "\n"


def _sayable(fields: dict[str, object]) -> dict[str, object]:
    """Return the fields without lists and tables that have null in them, which TOML cannot say."""
    found: dict[str, object] = {}
    for key, value in fields.items():
        try:
            toml.value(value)
        except toml.HasNull:
            continue
        found[key] = value
    return found
