"""``healthd --version``: the versions that a bug report should start with."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from healthd import __version__
from healthd.host.build import Build, of_tree, recorded

# Libraries whose changes have affected healthd before.
_LIBRARIES = ("bleak", "dbus-fast", "aiomqtt", "paho-mqtt", "pydantic")

_TIMEOUT_S = 2.0


def text() -> str:
    """Return the versions of healthd, Python, the libraries and BlueZ, one line each."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    build = recorded() or of_tree(Path(__file__).parents[2], os.environ)
    yield f"healthd {__version__}" + ("" if build is None else f" ({_build_text(build)})")
    yield f"Python {platform.python_version()}, {platform.system()} {platform.release()} " + (
        platform.machine()
    )
    yield ", ".join(filter(None, map(_installed, _LIBRARIES)))
    if bluez := _bluez():
        yield f"BlueZ {bluez}"


def _build_text(build: Build) -> str:
    return f"commit {build.commit[:7]}, {build.date}" + (", modified" if build.modified else "")


def _installed(library: str) -> str | None:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return None


def _bluez() -> str | None:
    """Return the version of the installed bluetoothctl, without using D-Bus; None without one."""
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
