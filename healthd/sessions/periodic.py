"""A peripheral that is linked only now and then, to fetch what it has."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from healthd.central.faults import LinkFault
from healthd.errors import HealthdError
from healthd.events import FetchOutcome
from healthd.log import get_logger
from healthd.runs import Run
from healthd.schedule import Due, Last, Schedule
from healthd.sessions.fetch import Fetch
from healthd.sessions.pace import Pace
from healthd.sessions.schedule_file import ScheduleFile
from healthd.sessions.session import Session

# Peripherals with the same schedule are due at the same moment, and after a power cut all of them
# are. The jitter spreads their use of the one scanner and of the slots.
JITTER_S = 5.0

# The wall clock may be set while waiting for a time of day, so it is checked this often.
_CHECK_S = 30.0

# The next due time is reported again if it has moved by more than a clock is slewed.
_MOVED_NS = 1_000_000_000

_ID_BYTES = 4

_ENDED = "healthd stopped, or loaded other settings for this peripheral, before the run was over"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of one run.

    Attributes:
        run: its id.
        outcome: one of four.
        reason: why, if the outcome needs a reason.
        duration_s: from its beginning to its end.
        samples: how many samples it delivered.
        due_ns: its point of the schedule, or when it was requested; Unix time.
        error: the fault that made it fail, and how to fix that; for the log.
    """

    run: str
    outcome: FetchOutcome
    reason: str | None
    duration_s: float
    samples: int
    due_ns: int
    error: str | None = None


class NotFetched(HealthdError):
    """The requested run has no outcome and will not have one."""


class FetchObserver(Protocol):
    """Receives the results of runs. Called in the event loop; must not block."""

    def sample_count(self, peripheral: str) -> int:
        """Return how many samples, other than intermediate ones, there were since the start."""
        ...

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        """Handle that a run is over."""
        ...

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        """Handle that the next run is due at this Unix time."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """When to fetch a peripheral.

    Attributes:
        make: returns the schedule that continues from the last fetch.
        window_s: how long a run may take.
        waits: whether a run begins only when the peripheral advertises, however late that is.
        jitter: draws how much later than due a run begins, and the pauses between its tries.
    """

    make: Callable[[Last | None], Schedule]
    window_s: float
    waits: bool
    jitter: random.Random


class Periodic:
    """Fetches one peripheral according to its schedule."""

    def __init__(
        self,
        peripheral: str,
        session: Session,
        plan: Plan,
        run: Run,
        file: ScheduleFile,
        observer: FetchObserver,
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            session: links it and collects what it has.
            plan: when to fetch.
            run: the current run of the daemon, with its clock and boot.
            file: stores the last fetch.
            observer: receives all results.
        """
        self._peripheral = peripheral
        self._session = session
        self._plan = plan
        self._run = run
        self._file = file
        self._observer = observer
        self._pace = Pace(plan.jitter)
        self._reported_ns: int | None = None
        self._fetch: Fetch | None = None
        self._due_ns = 0
        self._is_running = False
        self._waiters: list[asyncio.Future[Fetched]] = []
        self._requested = asyncio.Event()
        self._log = get_logger(peripheral=peripheral)

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Wait, fetch, report and store, in a loop. A radio fault ends only the current run."""
        schedule = self._plan.make(self._file.last(self._peripheral))
        self._session.rest()
        self._is_running = True
        try:
            while True:
                due = await self._next(schedule)
                fetched = await self._run_once(due)
                await self._settle(schedule, due, fetched)
                mark_healthy()
        except asyncio.CancelledError:
            self._session.disable()
            raise
        finally:
            self._is_running = False
            for waiter in self._take_waiters():
                waiter.set_exception(NotFetched(_ENDED))

    async def fetch(self) -> Fetched:
        """Start a run now, independent of the schedule, or join the current one.

        All callers that wait for the same run get the same result. The run continues even if the
        caller is cancelled.

        Raises:
            NotFetched: healthd stops, changes its settings, or is not fetching at the moment.
        """
        if not self._is_running:
            raise NotFetched("not available while healthd starts or stops; try again")
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._requested.set()
        # A run that waits for the peripheral to advertise has not begun yet.
        if self._fetch is not None and self._fetch.begin():
            self._due_ns = self._run.clock.now().wall_ns
        return await waiter

    async def _next(self, schedule: Schedule) -> Due | None:
        """Wait for the next point of the schedule; return None if a run is requested earlier."""
        late_s = 0.0 if self._plan.waits else self._plan.jitter.uniform(0, JITTER_S)
        while not self._requested.is_set():
            now = self._run.clock.now()
            due = schedule.due(now)
            if self._reported_ns is None or abs(due.wall_ns - self._reported_ns) > _MOVED_NS:
                self._reported_ns = due.wall_ns
                self._observer.on_due(self._peripheral, due.wall_ns)
            left_s = (due.mono_ns - now.mono_ns) / 1e9 + late_s
            if self._plan.waits:
                left_s = max(left_s, self._pace.run_in_s)
            if left_s <= 0:
                return due
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _CHECK_S)):
                    await self._requested.wait()
        return None

    async def _run_once(self, due: Due | None) -> Fetched:
        plan = self._plan
        run = plan.jitter.randbytes(_ID_BYTES).hex()
        before = self._observer.sample_count(self._peripheral)
        self._due_ns = self._run.clock.now().wall_ns if due is None else due.wall_ns
        waits = plan.waits and due is not None
        self._fetch = fetch = Fetch(self._session, plan.window_s, self._pace, waits=waits)
        try:
            end = await fetch.run()
        finally:
            self._fetch = None
        # Values that were held back during the link are published now, and count.
        self._session.rest()
        samples = self._observer.sample_count(self._peripheral) - before
        outcome, reason = end.judged(samples)
        error = self._error(end.fault) if outcome == "failed" else None
        if fetch.found:
            self._pace.ran(well=outcome in ("new_data", "no_data"))
        return Fetched(run, outcome, reason, end.duration_s, samples, self._due_ns, error)

    def _error(self, fault: LinkFault | None) -> str:
        wait_s = self._pace.try_in_s
        return f"{fault}; next try in {wait_s:.0f} s at the earliest" if wait_s >= 1 else str(fault)

    async def _settle(self, schedule: Schedule, due: Due | None, fetched: Fetched) -> None:
        result = {"outcome": fetched.outcome, "reason": fetched.reason, "samples": fetched.samples}
        if fetched.error is not None:
            result["error"] = fetched.error
        self._log.info("fetched", fetch_run=fetched.run, duration_s=fetched.duration_s, **result)
        self._observer.on_fetched(self._peripheral, fetched)
        for waiter in self._take_waiters():
            waiter.set_result(fetched)
        now = self._run.clock.now()
        if self._plan.waits:
            if fetched.outcome in ("failed", "timeout"):
                return  # what it advertised for has not been fetched yet
            # A requested run counts as well: the device has delivered what it had.
            due = due or schedule.due(now)
        if due is not None:
            point = schedule.done(due, now)
            await self._file.remember(self._peripheral, Last(*point, self._run.boot))

    def _take_waiters(self) -> list["asyncio.Future[Fetched]"]:
        """Return the requests that still wait, and reset the list; the caller answers them."""
        waiters, self._waiters = self._waiters, []
        self._requested.clear()
        return [waiter for waiter in waiters if not waiter.done()]
