"""The rows of ``--peers``: healthd next to what people run instead; see ``benchmarks.peers``."""

import hashlib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.comparison import running, starting
from benchmarks.comparison.contenders import Contender, Row, healthd
from benchmarks.figures import Effort
from benchmarks.launched import Launched
from benchmarks.service import Setup
from benchmarks.trees import CACHE, VERSION, WORKING, NotBuilt, Tree, base_python, outside_make

_LIST = WORKING.root / ".ci/requirements/peers.txt"
_PROGRAMS = WORKING.root / "benchmarks/peers"


def _peer(name: str, program: str, python: str) -> Contender:
    def launch(setup: Setup) -> Launched:
        return Launched(
            Tree(WORKING.root, python),
            str(setup.port),
            *setup.addresses,
            program=(str(_PROGRAMS / f"{program}.py"),),
            environ=setup.environ,
        )

    return Contender(name, launch)


SCRIPT = _peer("bleak + aiomqtt", "script", WORKING.python)
"""Needs only libraries that healthd has, too."""


def contenders() -> list[Contender]:
    """Return healthd and its peers, installed in an environment of their own.

    Raises:
        NotBuilt: they could not be installed.
    """
    python = str(_environment() / "bin/python")
    return [
        healthd("healthd", WORKING),
        SCRIPT,
        _peer("bleakheart + paho", "with_bleakheart", python),
        _peer("ble2mqtt", "with_ble2mqtt", python),
    ]


def _environment() -> Path:
    """Return the virtual environment with what is in the list, which is made once."""
    digest = hashlib.sha256(_LIST.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"peers-{digest}-python{VERSION}"
    done = folder / ".built"
    if not done.exists():
        command = [str(WORKING.root / ".ci/venv"), str(folder), str(_LIST)]
        environ = outside_make() | {"PYTHON": base_python()}
        made = subprocess.run(
            command, cwd=WORKING.root, env=environ, stdout=sys.stderr, check=False
        )
        if made.returncode:
            raise NotBuilt(f"{' '.join(command)} failed")
        done.touch()
    return folder


async def _memory(contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    return [await running.memory(contenders, effort)]


async def _recovery(contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    return [await running.recovery(contenders, effort)]


_ROWS: dict[str, Callable[[Sequence[Contender], Effort], Awaitable[list[Row]]]] = {
    "memory": _memory,
    "start": starting.start,
    "rest": running.rest,
    "pace": running.pace,
    "recovery": _recovery,
}

NAMES = tuple(_ROWS)


def measures(
    contenders: Sequence[Contender],
) -> dict[str, Callable[[Effort], Awaitable[list[Row]]]]:
    """Return what can be measured of all contenders, by name."""
    return {name: partial(measure, contenders) for name, measure in _ROWS.items()}
