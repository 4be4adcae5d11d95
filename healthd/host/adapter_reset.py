"""Switches a Bluetooth adapter off and on: the one privileged step of its recovery, a program.

``healthd-adapter-reset.service`` runs it, as root with CAP_NET_ADMIN and nothing else. Requests
come from the daemon, which listens to radio and network: they are hostile until checked. Only the
standard library is imported, so that nobody else's code runs with this right.
"""

import errno
import fcntl
import json
import os
import re
import socket
import stat
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

REQUEST = "reset-adapter"
"""The file in healthd's runtime folder that asks for a reset: an adapter's name, one line.

It is renamed into place and readable by its group: root without further rights is not its owner.
"""

_NAME = re.compile(rb"hci([0-9]{1,2})\n?")
_LONGEST = len(b"hci99\n")

_ADAPTERS = Path("/sys/class/bluetooth")
_RFKILL = Path("/dev/rfkill")

# The kernel's own numbers (its bluetooth.h, hci_sock.h and uapi/linux/rfkill.h): Python's socket
# module knows the first two only where it was built beside BlueZ's headers.
_AF_BLUETOOTH = 31
_BTPROTO_HCI = 1
_HCIDEVUP = 0x400448C9
_HCIDEVDOWN = 0x400448CA
_RFKILL_EVENT = "=IBBBB"  # index, type, operation, soft, hard
_RFKILL_TYPE_BLUETOOTH = 2
_RFKILL_OP_CHANGE = 2


class ResetRefused(Exception):
    """The request is not one that is followed."""


def main(folder: Path) -> int:
    """Follow the request in ``folder``, and say in the journal what came of it.

    Returns:
        The exit code: 0 reset, 1 not.
    """
    try:
        name = take_request(folder)
        unblocked = unblock(_ADAPTERS / name, _RFKILL)
        _reset(int(name.removeprefix("hci")))
    except (OSError, ResetRefused) as error:
        _tell("error", "adapter not reset", error=str(error))
        return 1
    _tell("warning", "adapter reset", adapter=name, unblocked=unblocked)
    return 0


def take_request(folder: Path) -> str:
    """The name of the adapter to reset. The request is gone afterwards, whatever it was.

    Raises:
        ResetRefused: it names no adapter.
        OSError: there is none, or it is a link, or no file, or not for this group to read.
    """
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            # Nothing is followed, and nothing waits: a pipe would never answer.
            file = os.open(REQUEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
        finally:
            # Before anything is done: a request that ends this program must not start it again.
            os.unlink(REQUEST, dir_fd=inside)
    finally:
        os.close(inside)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ResetRefused(f"{REQUEST}: no plain file")
        content = os.read(file, _LONGEST + 1)
    finally:
        os.close(file)
    match = _NAME.fullmatch(content)
    if match is None:
        # Not shown: who wrote it may have wanted that it is read by somebody.
        raise ResetRefused(f"{REQUEST}: expected hci and one or two digits")
    return f"hci{int(match[1])}"


def unblock(adapter: Path, rfkill: Path) -> bool:
    """Lift the soft block of this one adapter.

    Args:
        adapter: its folder in /sys/class/bluetooth.
        rfkill: the device that takes the command.

    Returns:
        Whether there was one.

    Raises:
        ResetRefused: there is no such adapter, or a switch in hardware blocks it.
        OSError: the command was not taken.
    """
    if not adapter.is_dir():
        raise ResetRefused(f"no adapter {adapter.name}")
    blocked = False
    for switch in adapter.glob("rfkill[0-9]*"):
        if _is_set(switch / "hard"):
            raise ResetRefused(f"{adapter.name} is blocked by a switch in hardware")
        if _is_set(switch / "soft"):
            index = int(switch.name.removeprefix("rfkill"))
            command = (index, _RFKILL_TYPE_BLUETOOTH, _RFKILL_OP_CHANGE, 0, 0)
            with rfkill.open("r+b", buffering=0) as device:
                device.write(struct.pack(_RFKILL_EVENT, *command))
            blocked = True
    return blocked


def _is_set(file: Path) -> bool:
    return file.read_text(encoding="ascii").strip() == "1"


def _reset(number: int) -> None:
    with socket.socket(_AF_BLUETOOTH, socket.SOCK_RAW, _BTPROTO_HCI) as control:
        fcntl.ioctl(control, _HCIDEVDOWN, number)
        try:
            fcntl.ioctl(control, _HCIDEVUP, number)
        except OSError as error:
            # bluetoothd may have been quicker.
            if error.errno != errno.EALREADY:
                raise


def _tell(level: str, event: str, **fields: object) -> None:
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": level, "event": event, **fields}
    sys.stderr.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
