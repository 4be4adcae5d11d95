"""The wheels that a guest without a network installs, as .ci/requirements/ pins them."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from tests.system.guests import Guest
from tests.system.image import cache
from tests.system.report import say

_LISTS = Path(__file__).parents[2] / ".ci/requirements"
_DOWNLOAD_TIMEOUT_S = 600.0


def wheels_of(guest: Guest) -> tuple[Path, Path]:
    """Download what the guest needs, unless it is in the cache.

    Returns:
        A folder of wheels, for ``PIP_FIND_LINKS``; and a folder with the unpacked dependencies that
        the tests import (those of healthd, but not healthd itself).

    Raises:
        subprocess.CalledProcessError: no wheel fits, none has the pinned hash, or no index answers.
    """
    wanted = {*_pins("install", guest), *_pins("demo", guest)}
    build = {*_pins("build", guest)} - wanted
    text = repr((guest.python, guest.glibc, sorted(wanted | build), Path(__file__).read_text()))
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = cache() / f"wheels-{guest.name}-{key}"
    if not folder.exists():
        say(f"Downloading the wheels for {guest.name} (once) ...")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            building = Path(made) / "building"
            _download(wanted, building / "wheels", guest)
            # Unpacked, not installed: pip refuses a wheel that is not for its own Python.
            for wheel in (building / "wheels").iterdir():
                with zipfile.ZipFile(wheel) as packed:
                    packed.extractall(building / "modules")
            # The guest builds the wheel of healthd.
            _download(build, building / "wheels", guest)
            building.rename(folder)
    return folder / "wheels", folder / "modules"


def _download(pins: set[str], folder: Path, guest: Guest) -> None:
    python = ".".join(guest.python.split(".")[:2])
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(guest.glibc, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder.parent / "wanted.txt"
    wanted.write_text("\n".join(pins))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
            *(f"--platform={platform}" for platform in platforms),
            *("--no-deps", "--require-hashes", f"--requirement={wanted}", f"--dest={folder}"),
        ],
        timeout=_DOWNLOAD_TIMEOUT_S,
        check=True,
    )


def _pins(name: str, guest: Guest) -> Iterator[str]:
    """Yield the lines of a list that are for the guest, without their markers.

    pip would evaluate the markers for its own Python, not for the guest's.
    """
    environment = {
        "python_full_version": guest.python,
        "python_version": ".".join(guest.python.split(".")[:2]),
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    text = (_LISTS / f"{name}.txt").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        pin, *hashes = line.split(" --hash=")
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            options = (f"--hash={value.strip()}" for value in hashes)
            yield " ".join((f"{requirement.name}{requirement.specifier}", *options))
