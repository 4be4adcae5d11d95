"""The benchmarks work; what they find is not judged here, on a machine that does other things."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.bluez import needs_dbus
from tests.support.mosquitto import needs_mosquitto

ROOT = Path(__file__).parents[2]


@needs_mosquitto
def test_rows_have_product_floor_and_ratio(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cpu", "log"]
    done = subprocess.run(
        [*command, "--markdown", "--json", file], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(file.read_text())
    assert [row["unit"] for row in rows] == ["µs"] * 4
    assert all(row["ratio"] == row["median"] / row["floor"] > 0 for row in rows)
    assert [row["verdict"] for row in rows[1:]] == [None] * 3
    assert all(f"| {row['what']} |" in done.stdout for row in rows)


@needs_mosquitto
@needs_dbus
def test_foreign_devices_cost_little_and_are_compared_with_plain_bleak(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "foreign"]
    done = subprocess.run([*command, "--json", file], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(file.read_text())
    assert [(row["unit"], row["budget"]) for row in rows] == [("µs", "≤ 0.5 ×")] * 2
    assert all(row["median"] > 0 and row["floor"] > 0 for row in rows)


@needs_mosquitto
@needs_dbus
def test_a_full_outbox_and_a_storm_are_compared_with_their_floors(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "backlog", "storm"]
    done = subprocess.run([*command, "--json", file], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(file.read_text())
    assert [row["unit"] for row in rows] == ["MB", "s", "s", "s", "s", "s"]
    assert all(row["median"] > 0 and row["floor"] > 0 for row in rows)
    assert [row["budget"] for row in rows] == ["≤ 1.04 ×", "≤ 1.2 ×", "≤ 0.5", "≤ 2 ×", None, "≤ 3"]
