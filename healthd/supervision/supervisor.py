"""One-for-one restarts: a service that fails never takes another down."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from structlog.typing import FilteringBoundLogger

from healthd.errors import Backoff, Fatal, HealthdError, Transient

# A bug that strikes this often will not go away by restarting the service: the process ends and
# systemd starts a clean one (DESIGN: 10 in 10 min).
CRASH_LIMIT = 10
CRASH_WINDOW_S = 600.0

# A service that was healthy this long has recovered: its next wait is short again. A link that
# drops right after each connect lives shorter, and is not hammered; a strap at the edge of its
# range, which drops every few seconds, is fetched back at once each time.
HEALTHY_AFTER_S = 3.0

# How much later than planned a restart may come before the supervisor counts as stuck: the event
# loop may be busy for a while, and the next sign of life is half a minute away.
LATE_AFTER_S = 5.0

# Python 3.11 forgets a cancellation that meets a result, or the failure of a task group. What the
# services do at their end takes 10 s at most: a session's, which takes leave and closes its link.
CANCELLED_AGAIN_S = 15.0

# Bugs have no pace of their own; the ceiling keeps ten of them inside the crash window.
_BUG_BACKOFF = Backoff(first_s=1.0, ceiling_s=30.0)

Service = Callable[[Callable[[], None]], Awaitable[None]]
"""Called with a function to call once the service works; ends by raising or by returning."""


class CrashLoop(HealthdError):
    """A service failed with bugs too often; only a new process may help."""


class StrayCancellation(HealthdError):
    """A service was cancelled though nobody cancelled it: a future of a library's was."""


class Supervisor:
    """Runs services for ever; the only place where anything is restarted."""

    def __init__(self, jitter: random.Random) -> None:
        """Draw every wait from ``jitter``, so that many clients do not return in step."""
        self._jitter = jitter
        self._records: set[_Record] = set()

    def late(self) -> int:
        """How many services should be running again and are not: 0 while the supervisor works."""
        now = time.monotonic()
        return sum(record.due + LATE_AFTER_S < now for record in self._records)

    async def keep(self, service: Service, log: FilteringBoundLogger) -> None:
        """Run ``service`` until it returns, waiting and starting it again when it raises.

        Args:
            service: what is kept alive.
            log: where its failures are told; its context names the service.

        Raises:
            Fatal: as the service raised it.
            CrashLoop: the service raised bugs ``CRASH_LIMIT`` times in ``CRASH_WINDOW_S``.
        """
        record = _Record()
        self._records.add(record)
        try:
            while True:
                try:
                    return await _run(service, record)
                except Exception as error:
                    wait_s = self._on_failure(error, record, log)
                record.due = time.monotonic() + wait_s
                await asyncio.sleep(wait_s)
                record.due = math.inf
        finally:
            self._records.discard(record)

    def _on_failure(self, error: Exception, record: "_Record", log: FilteringBoundLogger) -> float:
        """Tell of it; how long to wait before the next run."""
        cause = root_cause(error)
        if isinstance(cause, Fatal):
            raise cause from error
        wait_s = self._next_wait(cause, record)
        if isinstance(cause, Transient):
            # One line a transition: an outage of hours is one line, not one a try.
            tell = log.debug if record.told == cause.reason else log.warning
            tell("retrying", reason=cause.reason, error=str(cause), wait_s=wait_s)
            record.told = cause.reason
        else:
            log.error("crashed", exc_info=cause, wait_s=wait_s)
            record.told = ""
            if record.crash_loops():
                raise CrashLoop(f"{CRASH_LIMIT} crashes of one service") from cause
        return wait_s

    def _next_wait(self, cause: Exception, record: "_Record") -> float:
        backoff = cause.backoff if isinstance(cause, Transient) else _BUG_BACKOFF
        return round(self._jitter.uniform(0, backoff.limit(record.next_attempt())), 3)


class ServiceGroup:
    """Services that are kept alive side by side, by name: each can be ended by itself."""

    def __init__(self, supervisor: Supervisor, tasks: asyncio.TaskGroup) -> None:
        """Run them in ``tasks``, which ends when one of them gives up."""
        self._supervisor = supervisor
        self._group = tasks
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def start(self, name: str, service: Service, log: FilteringBoundLogger) -> None:
        """Keep a service alive; see ``Supervisor.keep``."""
        self._tasks[name] = self._group.create_task(self._supervisor.keep(service, log))

    def cancel(self, *names: str) -> None:
        """Have these services end."""
        for task in (self._tasks[name] for name in names):
            # A second time would end what the first one has it do. (The task itself does not know:
            # Python 3.11 goes on counting the cancellation by a task group that failed in it.)
            if task not in self._ending:
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.cancel()

    async def ended(self, *names: str) -> None:
        """Wait until these services, which were cancelled, have ended."""
        pending = {self._tasks[name] for name in names}
        while pending:
            _, pending = await asyncio.wait(pending, timeout=CANCELLED_AGAIN_S)
            for task in pending:
                task.cancel()


async def _run(service: Service, record: "_Record") -> None:
    task = asyncio.current_task()
    try:
        await service(record.mark_healthy)
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        # Let through, it would end the service for ever, and a task group says nothing of it.
        raise StrayCancellation("cancelled by nobody") from error


class _Record:
    """How one service has fared.

    Attributes:
        told: the fault that was logged last and has not been got over.
        due: when it should run again, on the monotonic clock; infinite while it runs.
    """

    def __init__(self) -> None:
        self.told = ""
        self.due = math.inf
        self._attempt = 0
        self._healthy_since: float | None = None
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)

    def mark_healthy(self) -> None:
        self.told = ""
        if self._healthy_since is None:
            self._healthy_since = time.monotonic()

    def next_attempt(self) -> int:
        since, self._healthy_since = self._healthy_since, None
        if since is not None and time.monotonic() - since >= HEALTHY_AFTER_S:
            self._attempt = 0
        self._attempt += 1
        return self._attempt - 1

    def crash_loops(self) -> bool:
        self._crashes.append(time.monotonic())
        full = len(self._crashes) == CRASH_LIMIT
        return full and self._crashes[-1] - self._crashes[0] <= CRASH_WINDOW_S


def root_cause(error: Exception) -> Exception:
    """The one exception that explains ``error``: task groups wrap what their tasks raise.

    A fatal error outweighs a bug, and a bug outweighs the world's faults around it.
    """
    if not isinstance(error, ExceptionGroup):
        return error
    group = cast("ExceptionGroup[Exception]", error)
    leaves = [root_cause(inner) for inner in group.exceptions]
    return min(leaves, key=lambda leaf: (not isinstance(leaf, Fatal), isinstance(leaf, Transient)))
