"""Fixtures that run the selected cases in the guests, and the summary of what they measured."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.guests import GUESTS
from tests.system.report import table
from tests.system.session import Sessions

_KEPT = Path(__file__).parents[2] / "build/system-test"
_TOOLS = ("qemu-system-x86_64", "mmdebstrap", "busybox", "sqfstar", "mkfs.ext4", "cpio")
# Debian has some of the tools in directories of root's PATH only.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_SESSIONS = pytest.StashKey[Sessions]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak-seed",
        type=int,
        default=int(time.time()),
        metavar="N",
        help="seed for the order of faults in the soak of tests/system (default: the time)",
    )

    parser.addoption(
        "--comparison",
        type=int,
        metavar="ROUNDS",
        help="how often tests/system compares healthd with a script (default: not at all)",
    )

    parser.addoption(
        "--machines",
        type=int,
        # An emulated machine uses about one processor.
        default=min(len(GUESTS), os.cpu_count() or 1),
        metavar="N",
        help="how many virtual machines may run at a time (default: %(default)s)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Not skipped: they are part of the suite only with their options.
    options = {"test_soak": "--soak-seconds", "test_comparison": "--comparison"}
    unwanted = {name for name, option in options.items() if config.getoption(option) is None}
    left_out = [item for item in items if getattr(item, "originalname", "") in unwanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def sessions(request: pytest.FixtureRequest) -> Iterator[Sessions]:
    if missing := [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]:
        pytest.skip(f"virtual machines need {', '.join(missing)}: see .ci/system-test")
    plans: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "sessions" in item.fixturenames:
            chosen = item.callspec.params
            plans.setdefault(str(chosen["guest"]), []).append(str(chosen["case"]))
    options = request.config.option
    sizes: dict[str, float] = {
        "soak_s": options.soak_seconds or 0.0,
        "seed": options.soak_seed,
        "rounds": options.comparison or 0,
    }
    made = Sessions(plans, sizes, _KEPT, options.machines)
    request.config.stash[_SESSIONS] = made
    yield made
    made.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    made = config.stash.get(_SESSIONS, None)
    if made is not None:
        terminalreporter.section("system tests")
        for line in (*table(made.outcomes), *made.notes):
            terminalreporter.write_line(line)
