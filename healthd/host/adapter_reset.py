"""A program that switches a Bluetooth adapter off and on: the one privileged step of its recovery.

``healthd-adapter-reset.service`` runs it as root with CAP_NET_ADMIN and no other capability.
Requests come from the daemon, which listens to radio and network, so they are hostile until
checked. Only the standard library is imported, so that no other code runs with this capability.
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
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

REQUEST = "reset-adapter"
"""The file in healthd's runtime folder that requests a reset: one line, an adapter's name.

It is renamed into place and readable by its group: root without further capabilities may read it
only through the group.
"""

_NAME = re.compile(rb"hci([0-9]{1,2})\n?")
_LONGEST = len(b"hci99\n")

_ADAPTERS = Path("/sys/class/bluetooth")
_RFKILL = Path("/dev/rfkill")

# The kernel's own numbers (bluetooth.h, hci_sock.h and uapi/linux/rfkill.h): Python's socket module
# has the first two only if it was built with BlueZ's headers installed.
_AF_BLUETOOTH = 31
_BTPROTO_HCI = 1
_HCIDEVUP = 0x400448C9
_HCIDEVDOWN = 0x400448CA
_RFKILL_EVENT = "=IBBBB"  # index, type, operation, soft, hard
_RFKILL_TYPE_BLUETOOTH = 2
_RFKILL_OP_CHANGE = 2


class ResetRefused(Exception):
    """The request is not valid, or the adapter cannot be reset."""


def main(folder: Path, pause_s: float = 0.0) -> int:
    """Carry out the request in ``folder``, and log the result to the journal.

    Args:
        folder: where the request is.
        pause_s: how long to wait after a request that the daemon does not make, in seconds.
            Without a wait it could start this program again at once, forever: it may be made
            again, or it may be impossible to remove.

    Returns:
        The exit code: 0 if the adapter was reset, else 1.
    """
    try:
        name = take_request(folder)
    except FileNotFoundError as error:
        _log("error", "adapter not reset", error=str(error))
        return 1
    except (OSError, ResetRefused) as error:
        _log("error", "adapter not reset", error=str(error), waiting_s=pause_s)
        time.sleep(pause_s)
        return 1
    try:
        unblocked = unblock(_ADAPTERS / name, _RFKILL)
        _reset(int(name.removeprefix("hci")))
    except (OSError, ResetRefused) as error:
        _log("error", "adapter not reset", error=str(error))
        return 1
    _log("warning", "adapter reset", adapter=name, unblocked=unblocked)
    return 0


def take_request(folder: Path) -> str:
    """Return the name of the adapter to reset; remove the request, valid or not.

    Raises:
        ResetRefused: the request does not name an adapter.
        OSError: there is no request, it is a link, this group may not read it, or it cannot be
            removed.
    """
    with ExitStack() as opened:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        opened.callback(os.close, inside)
        try:
            # No link is followed, and opening a pipe does not block.
            file = os.open(REQUEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
            opened.callback(os.close, file)
        finally:
            # First of all: a request that crashes this program must not start it again.
            _remove(inside)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ResetRefused(f"{REQUEST}: not a regular file")
        content = os.read(file, _LONGEST + 1)
    match = _NAME.fullmatch(content)
    if match is None:
        # Not logged: an attacker may have written it for a reader of the log.
        raise ResetRefused(f"{REQUEST}: expected hci and one or two digits")
    return f"hci{int(match[1])}"


def _remove(inside: int) -> None:
    """Remove the request from the open folder; a folder that is not empty is renamed.

    It may be of any size, and this group may have no right to delete what is in it.
    """
    try:
        os.unlink(REQUEST, dir_fd=inside)
        return
    except IsADirectoryError:
        pass
    try:
        os.rmdir(REQUEST, dir_fd=inside)
    except OSError:
        aside = f"{REQUEST}.refused-{time.time_ns()}"
        os.rename(REQUEST, aside, src_dir_fd=inside, dst_dir_fd=inside)


def unblock(adapter: Path, rfkill: Path) -> bool:
    """Lift the soft block of one adapter.

    Args:
        adapter: its folder in /sys/class/bluetooth.
        rfkill: the device that accepts the command.

    Returns:
        Whether the adapter was blocked.

    Raises:
        ResetRefused: there is no such adapter, or a hardware switch blocks it.
        OSError: the command failed.
    """
    if not adapter.is_dir():
        raise ResetRefused(f"no adapter {adapter.name}")
    blocked = False
    for switch in adapter.glob("rfkill[0-9]*"):
        if _is_set(switch / "hard"):
            raise ResetRefused(f"{adapter.name} is blocked by a hardware switch")
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
            # bluetoothd may have switched it on first.
            if error.errno != errno.EALREADY:
                raise


def _log(level: str, event: str, **fields: object) -> None:
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": level, "event": event, **fields}
    sys.stderr.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
