"""Options of the whole test run, and a small disk that tests can fill."""

# First: it measures what the other imports run.
from tests.support.coverage import measurement  # isort: skip

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.outbox.bench import SmallDisk

# No deadline for an example: on a busy machine the slowest of a hundred proves nothing.
settings.register_profile("default", deadline=None)
# pytest --hypothesis-profile=thorough: run it once after a change to a decoder.
settings.register_profile("thorough", deadline=None, max_examples=10_000)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Measure coverage if ``make test`` asks for it."""
    if measurement is not None:
        config.pluginmanager.register(measurement)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write why tests were skipped into the file that ``make test`` names; it shows them last."""
    if not (file := os.environ.get("NOT_TESTED")):
        return
    with Path(file).open("a", encoding="utf-8") as lines:
        for report in terminalreporter.getreports("skipped"):
            _, _, reason = report.longrepr
            reason = reason.removeprefix("Skipped: ").removeprefix("NOT TESTED: ")
            # What to install is said once, for all of them.
            lines.write(reason.partition(";")[0] + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options; pytest accepts them only from a conftest loaded before collection."""
    parser.addoption(
        "--soak-seconds",
        type=float,
        default=None,
        metavar="N",
        help="run tests/end_to_end's soak for this long, with straps that send once a second",
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount a file system of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: only root may mount a small file system")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a failed test may still have files open.
        subprocess.run(["umount", "--lazy", folder], check=True)
