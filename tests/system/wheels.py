"""The wheels that a guest without a network installs, at the versions of constraints.txt."""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from tests.system.guests import Guest
from tests.system.image import cache
from tests.system.report import say

_SOURCE = Path(__file__).parents[2]
_DOWNLOAD_TIMEOUT_S = 600.0


def wheels_of(guest: Guest) -> tuple[Path, Path]:
    """Download what the guest needs, unless it is in the cache.

    Returns:
        A folder of wheels, for ``PIP_FIND_LINKS``; and a folder with the unpacked dependencies that
        the tests import (those of healthd, but not healthd itself).

    Raises:
        subprocess.CalledProcessError: no wheel fits, or no index answers.
    """
    constraints = (_SOURCE / "constraints.txt").read_text()
    project = tomllib.loads((_SOURCE / "pyproject.toml").read_text())
    wanted = sorted(_pins(constraints, project, guest))
    build = sorted(project["build-system"]["requires"])
    text = repr((guest.python, guest.glibc, wanted, build, Path(__file__).read_text()))
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = cache() / f"wheels-{guest.name}-{key}"
    if not folder.exists():
        say(f"Downloading the wheels for {guest.name} (once) ...")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            building = Path(made) / "building"
            _pip("--no-deps", "--dest", str(building / "wheels"), *wanted, guest=guest)
            # Unpacked, not installed: pip refuses a wheel that is not for its own Python.
            for wheel in (building / "wheels").iterdir():
                with zipfile.ZipFile(wheel) as packed:
                    packed.extractall(building / "modules")
            # The build dependencies: the guest builds the wheel of healthd.
            _pip("--dest", str(building / "wheels"), *build, guest=guest)
            building.rename(folder)
    return folder / "wheels", folder / "modules"


def _pip(*arguments: str, guest: Guest) -> None:
    python = ".".join(guest.python.split(".")[:2])
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(guest.glibc, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
            *(f"--platform={platform}" for platform in platforms),
            *arguments,
        ],
        timeout=_DOWNLOAD_TIMEOUT_S,
        check=True,
    )


def _pins(constraints: str, project: dict[str, Any], guest: Guest) -> Iterator[str]:
    """Yield what ``make install`` and the simulator need in the guest, as ``name==version``.

    pip cannot determine it, because it evaluates the markers for its own Python, not for the
    guest's. The comments in constraints.txt name for each package the packages that require it.
    """
    extras = project["project"]["optional-dependencies"]
    needs = (*project["project"]["dependencies"], *extras["hass"], *extras["sim"])
    asked = {_name(text) for text in needs}
    environment = {
        "python_full_version": guest.python,
        "python_version": ".".join(guest.python.split(".")[:2]),
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    pins = list(_read(constraints.splitlines()))
    grown = True
    while grown:
        more = {_name(pin) for pin, _, askers in pins if asked.intersection(askers)}
        grown = not more <= asked
        asked |= more
    for pin, marker, _ in pins:
        if _name(pin) in asked and Marker(marker).evaluate(environment):
            yield pin


def _read(lines: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each pin, its marker, and the packages that require it."""
    pin, marker, askers = "", "", list[str]()
    for line in lines:
        if line.startswith(" "):
            name = line.strip(" #").removeprefix("via").strip()
            if name and not name.startswith("healthd "):
                askers.append(name)
        elif not line.startswith("#"):
            if pin:
                yield pin, marker, askers
            pin, _, marker = (part.strip() for part in line.partition(";"))
            askers = []
    if pin:
        yield pin, marker, askers


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower().replace("_", "-")
