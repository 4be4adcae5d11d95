"""Builds a guest's root file system, kernel and initial RAM disk; kept from one run to the next."""

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.system.guests import LEFT_OUT, PACKAGES, Guest
from tests.system.initrd import pack_initrd
from tests.system.report import say

# Cold, two cores: 40 s to 100 s. A mirror that does not answer must not hold a build machine.
_BUILD_TIMEOUT_S = 900.0
# Images that were not used for so long are of an older recipe.
_KEPT_S = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine starts from; none of it is ever written to."""

    root: Path
    kernel: Path
    initrd: Path


def cache() -> Path:
    """Where images and wheels are kept."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "healthd-system-test"


def image_of(guest: Guest) -> Image:
    """The guest's image, built where it is not in the cache.

    Raises:
        subprocess.CalledProcessError: the distribution could not be fetched or packed.
    """
    folder = cache() / f"{guest.name}-{guest.recipe}"
    image = Image(folder / "root.squashfs", folder / "vmlinuz", folder / "initrd")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_old_images(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent) as building:
            _build(guest, Path(building))
            # Under its final name only once it is whole: a build may be interrupted.
            shutil.copytree(building, folder)
    os.utime(folder)
    return image


def _forget_old_images(folder: Path) -> None:
    # They are large. Not at once: another working copy may have another recipe.
    for old in folder.glob("debian*"):
        if time.time() - old.stat().st_mtime > _KEPT_S:
            shutil.rmtree(old)


def _build(guest: Guest, folder: Path) -> None:
    say(f"Building the image of {guest.name} (once; a minute or two) ...")
    archive = folder / "root.tar"
    _run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--aptopt=Acquire::Languages none",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        f"--include={','.join(PACKAGES)}",
        guest.suite,
        str(archive),
    )
    with tarfile.open(archive) as root:
        kernel = next(m for m in root.getmembers() if m.name.startswith("./boot/vmlinuz-"))
        data = root.extractfile(kernel)
        assert data is not None, kernel.name
        (folder / "vmlinuz").write_bytes(data.read())
        pack_initrd(root, folder / "initrd")
    with archive.open("rb") as packed:
        # lz4: what matters is how fast the emulated processor unpacks it.
        _run(
            "sqfstar",
            "-quiet",
            "-no-progress",
            "-comp",
            "lz4",
            f"{folder}/root.squashfs",
            stdin=packed,
        )
    archive.unlink()


def _run(*command: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> None:
    # INITRD=No: Debian's own initial RAM disk would take longer to make than all the rest.
    environment = os.environ | {"INITRD": "No"}
    subprocess.run(
        command,
        stdin=stdin,
        env=environment,
        timeout=_BUILD_TIMEOUT_S,
        check=True,
    )
