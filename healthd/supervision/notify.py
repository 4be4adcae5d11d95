"""Reports the daemon's state to systemd: the sd_notify(3) protocol, without its library."""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from healthd.log import get_logger


class Manager:
    """The service manager that started the daemon, if any.

    Attributes:
        listens: whether there is a manager that receives notifications.
        watchdog_s: seconds without a sign of life after which it ends the daemon; None: never.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte at the start of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.listens = address.startswith(("@", "/"))
        self.watchdog_s = _watchdog_s(environ)
        self._ready = False
        self._log = get_logger(service="systemd")

    def alive(self, status: str) -> None:
        """Send a sign of life and the status; the first one also reports the daemon as ready."""
        ready = [] if self._ready else ["READY=1"]
        if self._send(*ready, f"STATUS={status}", "WATCHDOG=1"):
            self._ready = True

    def reloading(self) -> None:
        """Report that a reload has begun; ``systemctl reload`` waits until ``reloaded``."""
        if self._ready:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Report that a reload is over; the log says whether the settings were applied."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """Report that the daemon has begun to stop; ``TimeoutStopSec=`` counts from here."""
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *assignments: str) -> bool:
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # A manager that does not read must not block the event loop.
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            self._log.warning("sd_notify failed", message=assignments[0], error=str(error))
            return False
        return True


def status_line(states: Iterable[str], waiting: int) -> str:
    """Return the line for ``systemctl status``, such as "5 streaming, 1 searching, outbox 0".

    Args:
        states: the state of each peripheral.
        waiting: number of samples that the broker has not acknowledged.
    """
    counts = Counter(states).most_common()
    return ", ".join([*(f"{count} {state}" for state, count in counts), f"outbox {waiting}"])


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    # A value inherited from a parent that is watched itself is not meant for this process.
    if environ.get("WATCHDOG_PID", "") not in ("", str(os.getpid())):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
