"""Builds and caches the root file system, kernel and initial RAM disk of a guest."""

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

# Without a cache, two cores: 40 s to 100 s. The limit is for a mirror that does not answer.
_BUILD_TIMEOUT_S = 900.0
# Images that were not used for this long are from an older recipe.
_KEPT_S = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Image:
    """The files that a machine boots from; they are read-only."""

    root: Path
    kernel: Path
    initrd: Path


def cache() -> Path:
    """Return the folder for images and wheels."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "healthd-system-test"


def image_of(guest: Guest) -> Image:
    """Return the image of the guest; build it if it is not in the cache.

    Raises:
        subprocess.CalledProcessError: the distribution could not be downloaded or packed.
    """
    folder = cache() / f"{guest.name}-{guest.recipe}"
    image = Image(folder / "root.squashfs", folder / "vmlinuz", folder / "initrd")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_old_images(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent) as building:
            _build(guest, Path(building))
            # Under its final name only when it is complete: a build may be interrupted.
            shutil.copytree(building, folder)
    os.utime(folder)
    return image


def _forget_old_images(folder: Path) -> None:
    # They are large. Old ones stay for a while: another working copy may have another recipe.
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
        # lz4, because the emulated processor unpacks it fast.
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
    # INITRD=No: building Debian's own initial RAM disk would take longer than everything else.
    environment = os.environ | {"INITRD": "No"}
    subprocess.run(
        command,
        stdin=stdin,
        env=environment,
        timeout=_BUILD_TIMEOUT_S,
        check=True,
    )
