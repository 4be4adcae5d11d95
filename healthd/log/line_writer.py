"""Writes log lines from a thread of its own: a log that is stuck never stops the daemon.

Standard error can be a pipe that no program reads, a file on a full disk, a terminal stopped with
Ctrl-S, or closed. The caller never waits, and what could not be written is counted.

A thread, because a non-blocking descriptor would not be enough: the flag belongs to everything that
shares standard error (such as the shell), and a file on a slow disk blocks in spite of it.
"""

import atexit
import errno
import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

# Above two thousand lines: a reader that pauses for a moment loses nothing, and memory is bounded.
MAX_WAITING_BYTES = 512 * 1024

# The lines before an exit should be seen, but a log that is stuck must not delay the exit.
LAST_LINES_S = 1.0


class LineWriter:
    """Writes lines to a file descriptor, whole and in order. Never blocks its callers, or raises.

    Attributes:
        descriptor: where it writes; None if it is closed.
        notice: returns the line that says how many lines were lost.
        lost: how many lines could not be written.
    """

    def __init__(self, descriptor: int | None, notice: Callable[[int], bytes]) -> None:
        """Prepare; the thread starts with the first line."""
        self.descriptor = descriptor
        self.notice = notice
        self.lost = 0
        self._lines: deque[bytes] = deque()
        self._changed = Condition()
        self._waiting_bytes = 0
        self._refusing = False
        self._refused = 0
        self._closed = False
        self._thread: Thread | None = None
        # Of the thread alone:
        self._unreported = 0
        self._torn = b""

    def write(self, line: bytes) -> None:
        """Queue a line, which ends with a newline; it is lost if too much waits already."""
        with self._changed:
            full = self._waiting_bytes + len(line) > MAX_WAITING_BYTES and self._waiting_bytes > 0
            # Once one is lost, so are the next ones until all others are written and the loss is
            # reported: the report then stands where the lines are missing.
            self._refusing |= full
            if self._refusing or self.descriptor is None:
                self.lost += 1
                self._refused += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            if self._thread is None:
                self._start(self.descriptor)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the lines so far are written, at most ``LAST_LINES_S``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, LAST_LINES_S)

    def close(self) -> None:
        """Write what waits, as ``flush`` does, and end the thread."""
        self.flush()
        atexit.unregister(self.flush)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self, descriptor: int) -> None:
        # A daemon thread: at the exit Python does not wait for a write that is stuck.
        self._thread = Thread(target=self._run, args=(descriptor,), name="log", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def _run(self, descriptor: int) -> None:
        while lines := self._next_lines():
            self._report(descriptor)
            lost = self._write(descriptor, lines)
            self._unreported += lost
            with self._changed:
                self.lost += lost
                if caught_up := self._refusing and not self._lines:
                    self._take_refused()
            if caught_up:
                self._report(descriptor)
            with self._changed:
                if caught_up:
                    self._take_refused()
                    self._refusing = False
                self._waiting_bytes -= sum(map(len, lines))
                self._changed.notify_all()

    def _take_refused(self) -> None:
        self._unreported += self._refused
        self._refused = 0

    def _next_lines(self) -> Sequence[bytes]:
        """Wait for lines; return as many as one write may have, none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            lines: list[bytes] = []
            size = 0
            # A pipe does not mix writes up to this size with those of other programs. One write for
            # many lines, because the thread waits for Python's global lock after each write.
            while self._lines and (not lines or size + len(self._lines[0]) <= select.PIPE_BUF):
                lines.append(self._lines.popleft())
                size += len(lines[-1])
            return lines

    def _report(self, descriptor: int) -> None:
        if self._unreported and not self._write(descriptor, [self.notice(self._unreported)]):
            self._unreported = 0

    def _write(self, descriptor: int, lines: Sequence[bytes]) -> int:
        """Write lines after the end of one that was written in part; return how many were lost."""
        rest, self._torn = self._torn + b"".join(lines), b""
        try:
            while rest:
                rest = rest[_write_some(descriptor, rest) :]
        except OSError as error:
            lost, size = 0, len(rest)
            for line in reversed(lines):
                if size < len(line):
                    break
                lost, size = lost + 1, size - len(line)
            if error.errno == errno.EPIPE:  # the next reader must not get half a line
                return lost + (size > 0 and lost < len(lines))
            self._torn = rest[:size]
            return lost
        return 0


def _write_some(descriptor: int, data: bytes) -> int:
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            # Another program made the shared descriptor non-blocking.
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
