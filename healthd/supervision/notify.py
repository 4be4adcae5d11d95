"""Tells systemd how the daemon fares: the protocol of sd_notify(3), without its library."""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from healthd.log import get_logger


class Manager:
    """Who started the daemon and wants to be told; nobody, outside systemd.

    Attributes:
        listens: whether there is anybody to tell.
        watchdog_s: after how many seconds without a sign of life it ends the daemon; None: never.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte that an abstract address begins with.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.listens = address.startswith(("@", "/"))
        self.watchdog_s = _watchdog_s(environ)
        self._ready = False
        self._log = get_logger(service="systemd")

    def alive(self, status: str) -> None:
        """Everything works: a sign of life, and how it fares; the first one says ready."""
        ready = [] if self._ready else ["READY=1"]
        if self._send(*ready, f"STATUS={status}", "WATCHDOG=1"):
            self._ready = True

    def reloading(self) -> None:
        """The settings are read again, until ``reloaded``: ``systemctl reload`` waits for that."""
        if self._ready:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """The settings are read; whether they could be used is in the log."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """The daemon has begun to stop: from now on ``TimeoutStopSec=`` counts."""
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *assignments: str) -> bool:
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # A manager that does not read must not hold the event loop up.
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            self._log.warning("sd_notify failed", told=assignments[0], error=str(error))
            return False
        return True


def status_line(states: Iterable[str], waiting: int) -> str:
    """What ``systemctl status`` shows, such as "5 streaming, 1 searching, outbox 0".

    Args:
        states: each peripheral's.
        waiting: samples that the broker has not acknowledged.
    """
    counts = Counter(states).most_common()
    return ", ".join([*(f"{count} {state}" for state, count in counts), f"outbox {waiting}"])


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    # Inherited from a parent that is watched itself, it is not meant for this process.
    if environ.get("WATCHDOG_PID", "") not in ("", str(os.getpid())):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
