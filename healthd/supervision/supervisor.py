"""One-for-one restarts: a service that fails never takes another service down."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self, cast

from structlog.typing import FilteringBoundLogger

from healthd.errors import Backoff, Fatal, HealthdError, Transient

# A bug that happens this often does not go away by restarting the service: the process ends and
# systemd starts a clean one (DESIGN: 10 in 10 min).
CRASH_LIMIT = 10
CRASH_WINDOW_S = 600.0

# A service that was healthy for this long has recovered: its next wait is short again. A link that
# drops right after each connect lives shorter and is retried more slowly; a strap at the edge of
# the radio's range, which drops every few seconds, is reconnected at once each time.
HEALTHY_AFTER_S = 3.0

# How much later than planned a restart may come before the supervisor counts as stuck: the event
# loop may be busy for a while, and the next sign of life is half a minute away.
LATE_AFTER_S = 5.0

# Python 3.11 loses a cancellation that arrives together with a result or with the failure of a task
# group, so it is repeated. A regular end takes 10 s at most: a session gives up control, then its
# link is closed.
CANCELLED_AGAIN_S = 15.0

# Bugs have no backoff of their own; the ceiling keeps ten of them inside the crash window.
_BUG_BACKOFF = Backoff(first_s=1.0, ceiling_s=30.0)

Service = Callable[[Callable[[], None]], Awaitable[None]]
"""Receives a function to call once the service works; ends by raising or by returning."""


class CrashLoop(HealthdError):
    """A service failed with bugs too often; only a new process may help."""


class StrayCancellation(HealthdError):
    """A service was cancelled without a request: a library's future was cancelled."""


class Supervisor:
    """Runs services forever; the only place that restarts anything."""

    def __init__(self, jitter: random.Random) -> None:
        """Draw every wait from ``jitter``, so that many clients do not return in step."""
        self._jitter = jitter
        self._records: set[_Record] = set()

    def late(self) -> int:
        """Return how many services should be running again and are not; 0 is normal."""
        now = time.monotonic()
        return sum(record.due + LATE_AFTER_S < now for record in self._records)

    async def keep(self, service: Service, log: FilteringBoundLogger) -> None:
        """Run ``service`` until it returns; when it raises, wait and start it again.

        Args:
            service: the service to keep running.
            log: receives its failures; its context names the service.

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
        """Log the failure; return the seconds to wait before the next run."""
        cause = root_cause(error)
        if isinstance(cause, Fatal):
            raise cause from error
        wait_s = self._next_wait(cause, record)
        if isinstance(cause, Transient):
            # One line per transition: an outage of hours is one line, not one line per try.
            write = log.debug if record.logged == cause.reason else log.warning
            write("retrying", reason=cause.reason, error=str(cause), wait_s=wait_s)
            record.logged = cause.reason
        else:
            log.error("crashed", exc_info=cause, wait_s=wait_s)
            record.logged = ""
            if record.crash_loops():
                raise CrashLoop(f"{CRASH_LIMIT} crashes of one service") from cause
        return wait_s

    def _next_wait(self, cause: Exception, record: "_Record") -> float:
        backoff = cause.backoff if isinstance(cause, Transient) else _BUG_BACKOFF
        return round(self._jitter.uniform(0, record.next_limit(backoff)), 3)


class ServiceGroup:
    """Named services that run side by side; each one can be ended on its own.

    An asynchronous context manager: services run inside its block, which waits for their end. If
    one of them gives up, all the others and the block are cancelled, as in ``asyncio.TaskGroup``.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Let ``supervisor`` keep the services running."""
        self._supervisor = supervisor
        self._task_group = asyncio.TaskGroup()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Allow services to start."""
        await self._task_group.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until every service has ended."""
        await self._task_group.__aexit__(exc_type, exc, traceback)

    def start(self, name: str, service: Service, log: FilteringBoundLogger) -> None:
        """Start a service and keep it running; see ``Supervisor.keep``."""
        kept = self._supervisor.keep(partial(self._run, service), log)
        self._tasks[name] = self._task_group.create_task(kept, name=name)

    async def _run(self, service: Service, mark_healthy: Callable[[], None]) -> None:
        """Run a service, and let it fail only if it was not cancelled meanwhile."""
        try:
            await service(mark_healthy)
        except Exception as error:
            # Python 3.11 loses a cancellation that arrives while a task group is failing. The
            # service would be started again, and a stop would wait for it forever.
            if asyncio.current_task() in self._ending:
                raise asyncio.CancelledError from error
            raise

    def cancel(self, *names: str) -> None:
        """Cancel these services, without waiting for their end."""
        for task in (self._tasks[name] for name in names):
            # A second cancellation would interrupt the cleanup that the first one started. The task
            # cannot be asked: in Python 3.11 its count of cancellations includes the one by a task
            # group that failed inside it.
            if task not in self._ending:
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.cancel()

    async def wait_ended(self, *names: str) -> None:
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
        # Passed on, it would end the service forever, and a task group ignores a cancelled task.
        raise StrayCancellation("cancelled without a request") from error


class _Record:
    """The state of one service, over all its runs.

    Attributes:
        logged: reason of the fault that was logged last and has not been overcome.
        due: when it should run again, on the monotonic clock; infinite while it runs.
    """

    def __init__(self) -> None:
        self.logged = ""
        self.due = math.inf
        self._limit_s: float | None = None
        self._healthy_since: float | None = None
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)

    def mark_healthy(self) -> None:
        self.logged = ""
        if self._healthy_since is None:
            self._healthy_since = time.monotonic()

    def next_limit(self, backoff: Backoff) -> float:
        since, self._healthy_since = self._healthy_since, None
        if since is not None and time.monotonic() - since >= HEALTHY_AFTER_S:
            self._limit_s = None
            if backoff.at_once:
                self._limit_s = 0.0
                return self._limit_s
        self._limit_s = backoff.after(self._limit_s)
        return self._limit_s

    def crash_loops(self) -> bool:
        self._crashes.append(time.monotonic())
        full = len(self._crashes) == CRASH_LIMIT
        return full and self._crashes[-1] - self._crashes[0] <= CRASH_WINDOW_S


def root_cause(error: Exception) -> Exception:
    """Return the one exception that explains ``error``: task groups wrap what their tasks raise.

    A fatal error outweighs a bug, and a bug outweighs transient faults around it.
    """
    if not isinstance(error, ExceptionGroup):
        return error
    group = cast("ExceptionGroup[Exception]", error)
    leaves = [root_cause(inner) for inner in group.exceptions]
    return min(leaves, key=lambda leaf: (not isinstance(leaf, Fatal), isinstance(leaf, Transient)))
