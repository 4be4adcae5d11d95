"""Branch coverage of the packages that samples pass through, and its floor.

``MEASURE_COVERAGE=1 pytest tests/unit tests/contract tests/brokers tests/end_to_end tests/field``
ends with a table, and fails if a package is below the floor. pyproject.toml has the packages and
the floor. Import this module before anything of healthd: lines that run at import count too.

On Python 3.11 the tracer slows down every line by half, including those of pytest and Hypothesis.
Therefore it is on only for the imports, the packages' own unit tests, tests/contract,
tests/brokers, tests/end_to_end and tests/field; tests marked ``untraced``, which run the same lines
thousands of times, are left out. The figures are a lower bound: other tests and processes of their
own do not count.
"""

import importlib
import os
import pkgutil
import tomllib
from collections.abc import Generator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from coverage import Coverage

_TESTS = Path(__file__).parents[1]
_CONFIG = _TESTS.parent / "pyproject.toml"
_DRIVING = ("contract", "brokers", "end_to_end", "field")


@dataclass(frozen=True)
class Figure:
    """The coverage of one package, in percent of its lines and branches."""

    package: str
    percent: float
    details: str


class Measurement:
    """A pytest plugin: each worker measures, the process that started them reports."""

    def __init__(self) -> None:
        """Trace the import of the packages."""
        self._coverage = Coverage(config_file=_CONFIG, data_suffix=True)
        config = tomllib.loads(_CONFIG.read_text(encoding="utf-8"))["tool"]["coverage"]
        self._packages: list[str] = config["run"]["source_pkgs"]
        self._floor: float = config["report"]["fail_under"]
        own = (f"unit/{package.rpartition('.')[2]}" for package in self._packages)
        self._driving = [_TESTS / folder for folder in (*_DRIVING, *own)]
        self._is_worker = "PYTEST_XDIST_WORKER" in os.environ
        if not self._is_worker:
            # What a run that was killed has left.
            self._coverage.set_option("run:parallel", True)
            self._coverage.erase()
        self._figures: list[Figure] = []
        self._coverage.start()
        for package in self._packages:
            _import_all(package)
        self._coverage.stop()
        self._running = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Trace a test if it drives the packages."""
        drives = any(item.path.is_relative_to(folder) for folder in self._driving)
        wanted = drives and item.get_closest_marker("untraced") is None
        if wanted and not self._running:
            self._coverage.start()
        elif self._running and not wanted:
            self._coverage.stop()
        self._running = wanted
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Save what was measured; the main process compares all of it with the floor."""
        if self._running:
            self._coverage.stop()
        self._coverage.save()
        if self._is_worker:
            return
        combined = Coverage(config_file=_CONFIG)
        combined.combine()
        combined.save()
        self._figures = [_figure(combined, package) for package in self._packages]
        if session.exitstatus == 0 and self._below():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, and for packages below the floor what no test runs."""
        if not self._figures:
            return
        terminalreporter.section(f"coverage with branches, at least {self._floor:g} %")
        for figure in self._figures:
            terminalreporter.write_line(f"{figure.package:20} {figure.percent:6.2f} %")
        for figure in self._below():
            terminalreporter.section(f"{figure.package} is below {self._floor:g} %", red=True)
            terminalreporter.write_line(figure.details)

    def _below(self) -> list[Figure]:
        return [figure for figure in self._figures if figure.percent < self._floor]


def _figure(coverage: Coverage, package: str) -> Figure:
    out = StringIO()
    pattern = f"{_TESTS.parent}/{package.replace('.', '/')}/*"
    percent = coverage.report(include=[pattern], file=out)
    return Figure(package, percent, out.getvalue())


def _import_all(package: str) -> None:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        importlib.import_module(module.name)


measurement = Measurement() if os.environ.get("MEASURE_COVERAGE") else None
