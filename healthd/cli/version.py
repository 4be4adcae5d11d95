"""``healthd --version``: what a report of a bug should begin with."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from healthd import __version__
from healthd.host.build import Build, of_tree, recorded

# Those whose changes have been felt.
_LIBRARIES = ("bleak", "dbus-fast", "aiomqtt", "paho-mqtt", "pydantic")

_TIMEOUT_S = 2.0


def text() -> str:
    """healthd, its build, and what it runs on; a line each."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    build = recorded() or of_tree(Path(__file__).parents[2], os.environ)
    yield f"healthd {__version__}" + ("" if build is None else f" ({_told(build)})")
    yield f"Python {platform.python_version()}, {platform.system()} {platform.release()} " + (
        platform.machine()
    )
    yield ", ".join(filter(None, map(_installed, _LIBRARIES)))
    if bluez := _bluez():
        yield f"BlueZ {bluez}"


def _told(build: Build) -> str:
    return f"commit {build.commit[:7]}, {build.date}" + (", modified" if build.modified else "")


def _installed(library: str) -> str | None:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return None


def _bluez() -> str | None:
    """By its own tool, which asks nobody; None where that is not installed."""
    try:
        done = subprocess.run(
            ["bluetoothctl", "--version"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+\.\d+", done.stdout)
    return found and found[0]
