"""A guest in qemu: starts it, reads its two serial lines, and always ends it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system.image import Image
from tests.system.initrd import PROBE, PROBE_ANSWER
from tests.system.report import say

# loglevel=4: only errors of the kernel belong in a report. panic=-1: after a kernel panic the guest
# reboots at once and reports that. no_timer_check: on a busy host the kernel otherwise may take the
# emulated timer for a broken one, and panics.
_KERNEL_LINE = (
    "console=ttyS0 quiet panic=-1 loglevel=4 systemd.show_status=0 mitigations=off audit=0"
    " apparmor=0 selinux=0 no_timer_check"
)
# Python, BlueZ and mosquitto together need a third of it.
_MEMORY_MB = 1024
# Sparse: a virtual environment, a journal and an outbox use a fraction of it.
_DISK_BYTES = 2 << 30

# Emulated, a guest boots within 20 s.
_EMULATED = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
_HARDWARE = ("-accel", "kvm", "-cpu", "host")
# If hardware acceleration works, it answers within a second.
_PROBE_S = 15.0
_POLL_S = 0.2
_TAIL_LINES = 60


class Hung(Exception):
    """The guest has stopped reporting; the message has the end of its console."""


class Machine:
    """One guest; a context manager that starts and ends it."""

    def __init__(self, image: Image, payload: Path, folder: Path) -> None:
        """Prepare.

        Args:
            image: what it boots.
            payload: a file system that it mounts read-only at /payload.
            folder: for its disk and its output; the files `console` and `results` are kept.
        """
        self._image = image
        self._payload = payload
        self.console = folder / "console"
        self.results = folder / "results"
        self._disk = folder / "disk"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Switch it on."""
        with self._disk.open("wb"):
            os.truncate(self._disk, _DISK_BYTES)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", str(self._disk)], check=True)
        accelerator = _HARDWARE if has_hardware_acceleration(self._image) else _EMULATED
        self._process = subprocess.Popen(
            [
                *(*_qemu(self._image), *accelerator, "-smp", "2"),
                *("-serial", f"file:{self.console}", "-serial", f"file:{self.results}"),
                *("-append", _KERNEL_LINE),
                *("-drive", f"file={self._image.root},if=virtio,format=raw,readonly=on"),
                # cache=unsafe: the disk is not needed after the machine has ended.
                *("-drive", f"file={self._disk},if=virtio,format=raw,cache=unsafe"),
                *("-drive", f"file={self._payload},if=virtio,format=raw,readonly=on"),
            ],
            stdin=subprocess.DEVNULL,
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Switch it off."""
        self.switch_off()
        self._disk.unlink(missing_ok=True)

    def switch_off(self) -> None:
        """Kill it, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def messages(self, silence_s: float) -> Iterator[dict[str, Any]]:
        """Yield the guest's messages as they arrive, until it switches itself off.

        Args:
            silence_s: the longest allowed time without a message.

        Raises:
            Hung: no message arrived for that long.
        """
        assert self._process is not None, "the machine is not on"
        heard_at = time.monotonic()
        done = 0
        while True:
            # Checked before reading, so that its last messages are still read.
            ended = self._process.poll() is not None
            lines = self.results.read_bytes().split(b"\n")[:-1] if self.results.exists() else []
            for line in lines[done:]:
                heard_at = time.monotonic()
                yield json.loads(line)
            done = len(lines)
            if ended:
                return
            if time.monotonic() - heard_at > silence_s:
                raise Hung(
                    f"no message for {silence_s:.0f} s; the console ends with:\n{self.tail()}"
                )
            time.sleep(_POLL_S)

    def tail(self) -> str:
        """Return the end of its console."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])


@cache
def has_hardware_acceleration(image: Image) -> bool:
    """Return whether a machine really runs on the host's processor.

    It is tried, because /dev/kvm is no proof: on some hosts such a machine never runs.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = [*_qemu(image), *_HARDWARE, "-serial", "null", "-serial", "stdio"]
    try:
        probe = subprocess.run(
            [*command, "-append", f"{_KERNEL_LINE} {PROBE}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
        )
    except subprocess.TimeoutExpired:
        works = False
    else:
        works = PROBE_ANSWER in probe.stdout.decode(errors="replace")
    say(f"Hardware acceleration: {'yes' if works else 'no, emulating'}")
    return works


def _qemu(image: Image) -> tuple[str, ...]:
    return (
        *("qemu-system-x86_64", "-M", "q35", "-m", str(_MEMORY_MB)),
        *("-display", "none", "-monitor", "none", "-nic", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
    )
