"""A small ext4 file system on a loop device that can be filled, go read-only and lose power.

A power cut is simulated by ext4's own shutdown (EXT4_IOC_SHUTDOWN without flushing the journal, as
in xfstests), which stops the file system immediately. All data and journal blocks that were not yet
handed to the block device are lost, as after pulling the plug; the next mount replays the journal.
This proves that healthd had flushed what it calls stored. It proves nothing about a card that loses
confirmed writes, or writes a part of a sector: that needs dm-flakey, dm-log-writes or a real card.
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
        mount_point: The directory where it is mounted.
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
        """Mount it; ext4 replays its journal."""
        # Use a new device each time: another mount namespace may still hold the file system of the
        # last one, in its shutdown state, and mount(8) would find and reuse it.
        self._device = (await _run("losetup", "--find", "--show", str(self._image))).strip()
        options = ("-t", "ext4", "-o", "errors=remount-ro")
        await _run("mount", *options, self._device, str(self.mount_point))

    async def unmount(self) -> None:
        """Unmount it; all processes that used it must have ended."""
        await _run("umount", str(self.mount_point))
        await _run("losetup", "--detach", self._device)

    def cut_power(self) -> None:
        """Stop all I/O: writes do not reach the device, and only cached data can be read."""
        folder = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)
        assert self._refuses(errno.EIO), "files can still be created"

    def fill(self) -> Path:
        """Use up all the space; return the file to remove to free it again."""
        ballast = self.mount_point / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            for size in (1_000_000, 4096, 1):
                with suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
            os.fsync(file.fileno())
        assert os.statvfs(self.mount_point).f_bavail == 0, "there is still free space"
        return ballast

    def fail(self) -> None:
        """Trigger an error, so that ext4 stays read-only (it is mounted with errors=remount-ro)."""
        name = Path(self._device).name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test")
        assert self._refuses(errno.EROFS), "files can still be created"

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
