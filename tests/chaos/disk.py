"""A small ext4 on a loop device that can be filled, go read-only and lose its power.

What a power cut is here: ext4's own shutdown (EXT4_IOC_SHUTDOWN without flushing the journal, what
xfstests cuts the power with) stops the file system at once. Everything that was not yet handed to
the block device, data and journal alike, is gone, as after pulling the plug; the next mount replays
the journal. It proves that what healthd calls stored had been flushed by then. It does not prove
anything about a card that loses what it has confirmed, or tears a sector: that needs dm-flakey,
dm-log-writes or a real card.
"""

import asyncio
import errno
import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

# _IOR('X', 125, __u32), and EXT4_GOING_FLAGS_NOLOGFLUSH: linux/fs.h and fs/ext4/ext4.h.
_IOC_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


def _why_not() -> str:
    if os.geteuid() != 0:
        return "not root"
    missing = [
        name for name in ("mkfs.ext4", "losetup", "mount", "umount") if shutil.which(name) is None
    ]
    if missing:
        return f"no {missing[0]}"
    if not Path("/dev/loop-control").exists():
        return "no loop devices"
    return "" if "\text4" in Path("/proc/filesystems").read_text() else "no ext4 in this kernel"


WHY_NOT = _why_not()
needs_disk = pytest.mark.skipif(
    bool(WHY_NOT), reason=f"NOT TESTED: disk faults need root and a loop mount: {WHY_NOT}"
)


class LoopDisk:
    """A file system of a few megabytes; an async context manager, mounted while inside.

    Attributes:
        mount_point: where.
    """

    def __init__(self, folder: Path, megabytes: int = 48) -> None:
        self.mount_point = folder / "disk"
        self._image = folder / "disk.img"
        self._megabytes = megabytes
        self._device = ""

    async def __aenter__(self) -> Self:
        self.mount_point.mkdir()
        with self._image.open("wb") as image:
            image.truncate(self._megabytes * 1_000_000)
        await _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        await self.mount()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.mount_point.is_mount():
            await self.unmount()
        self._image.unlink()

    async def mount(self) -> None:
        """Mount it; ext4 recovers what it can."""
        # A device of its own each time: another mount namespace may still hold the file system of
        # the last one, without power, and mount(8) would find it and use it again.
        self._device = (await _run("losetup", "--find", "--show", str(self._image))).strip()
        options = ("-t", "ext4", "-o", "errors=remount-ro")
        await _run("mount", *options, self._device, str(self.mount_point))

    async def unmount(self) -> None:
        """Unmount it; everything that used it must have ended."""
        await _run("umount", str(self.mount_point))
        await _run("losetup", "--detach", self._device)

    def cut_power(self) -> None:
        """Nothing reaches the device any more, and nothing can be read that is not cached."""
        folder = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)
        assert self._refuses(errno.EIO), "the file system still takes files"

    def fill(self) -> Path:
        """Take all the space; the file to remove for having it back."""
        ballast = self.mount_point / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            for size in (1_000_000, 4096, 1):
                with suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
            os.fsync(file.fileno())
        assert os.statvfs(self.mount_point).f_bavail == 0, "there is still space"
        return ballast

    def fail(self) -> None:
        """Meet an error, so that ext4 goes read-only for good (mounted with errors=remount-ro)."""
        name = Path(self._device).name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test")
        assert self._refuses(errno.EROFS), "the file system still takes files"

    def _refuses(self, number: int) -> bool:
        try:
            (self.mount_point / "probe").touch()
        except OSError as error:
            return error.errno == number
        return False


async def _run(*command: str) -> str:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout
