"""A peripheral that is linked now and then: due, found, fetched, and left alone again."""

import asyncio
import random
import secrets
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

# Several peripherals with the same cadence are due at the same instant, and so are all of a house
# after a power cut: they ask for the one scanner and the slots in turn.
JITTER_S = 5.0

# The wall clock may be set while a time of the day is waited for: it is looked at this often.
_LOOK_S = 30.0

# The next due time is told again when it has moved by more than clocks are slewed.
_MOVED_NS = 1_000_000_000

_ID_BYTES = 4

_ENDED = "healthd stopped, or got other settings for it, before the run was over"


@dataclass(frozen=True, slots=True)
class Fetched:
    """How one run went.

    Attributes:
        run: its id.
        outcome: of four.
        reason: why, where there is anything to be said.
        duration_s: from its begin to its end.
        samples: how many it brought.
        due_ns: the point of the schedule that it was for, or when it was asked for; Unix time.
        error: what is said of the fault that made it fail, and of what mends that; for the log.
    """

    run: str
    outcome: FetchOutcome
    reason: str | None
    duration_s: float
    samples: int
    due_ns: int
    error: str | None = None


class NotFetched(HealthdError):
    """There is no outcome of the run that was asked for, and there will be none."""


class FetchObserver(Protocol):
    """Who is told of runs. Called in the event loop; must not block."""

    def sample_count(self, peripheral: str) -> int:
        """How many samples its streams have brought since the start."""
        ...

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        """A run is over."""
        ...

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        """When the next one is due; Unix time."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """When a peripheral is fetched.

    Attributes:
        make: the schedule behind what is remembered.
        window_s: how long a run may take.
        waits: a run begins when the peripheral shows itself, however late that is.
        jitter: draws how much later than due a run begins, and the pauses between its tries.
    """

    make: Callable[[Last | None], Schedule]
    window_s: float
    waits: bool
    jitter: random.Random


class Periodic:
    """Fetches one peripheral whenever its schedule says so."""

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
            session: links it, and takes what it has.
            plan: when.
            run: whose clock and boot it is.
            file: remembers what was fetched last.
            observer: is told of everything.
        """
        self._peripheral = peripheral
        self._session = session
        self._plan = plan
        self._run = run
        self._file = file
        self._observer = observer
        self._pace = Pace(plan.jitter)
        self._told_ns: int | None = None
        self._fetch: Fetch | None = None
        self._due_ns = 0
        self._runs = False
        self._askers: list[asyncio.Future[Fetched]] = []
        self._asked = asyncio.Event()
        self._log = get_logger(peripheral=peripheral)

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Wait, fetch, tell and remember; for ever. A fault of the radio is the end of a run."""
        schedule = self._plan.make(self._file.last(self._peripheral))
        self._session.rest()
        self._runs = True
        try:
            while True:
                due = await self._next(schedule)
                fetched = await self._fetched(due)
                await self._settle(schedule, due, fetched)
                mark_healthy()
        except asyncio.CancelledError:
            self._session.disable()
            raise
        finally:
            self._runs = False
            for asker in self._answered():
                asker.set_exception(NotFetched(_ENDED))

    async def fetch(self) -> Fetched:
        """Have a run made now, beside the schedule; or join the one that is under way.

        Whoever asks meanwhile gets the same outcome. The run is made also when nobody waits for it
        any more.

        Raises:
            NotFetched: healthd stops, gets other settings, or fetches nothing at the moment.
        """
        if not self._runs:
            raise NotFetched("it is not fetched at the moment, healthd starts or stops: try again")
        asker = asyncio.get_running_loop().create_future()
        self._askers.append(asker)
        self._asked.set()
        # One that waits for the peripheral to show itself is not under way yet.
        if self._fetch is not None and self._fetch.begin():
            self._due_ns = self._run.clock.now().wall_ns
        return await asker

    async def _next(self, schedule: Schedule) -> Due | None:
        """Wait for the next point of the schedule; None where a run is asked for before."""
        late_s = 0.0 if self._plan.waits else self._plan.jitter.uniform(0, JITTER_S)
        while not self._asked.is_set():
            now = self._run.clock.now()
            due = schedule.due(now)
            if self._told_ns is None or abs(due.wall_ns - self._told_ns) > _MOVED_NS:
                self._told_ns = due.wall_ns
                self._observer.on_due(self._peripheral, due.wall_ns)
            left_s = (due.mono_ns - now.mono_ns) / 1e9 + late_s
            if self._plan.waits:
                left_s = max(left_s, self._pace.run_in_s)
            if left_s <= 0:
                return due
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _LOOK_S)):
                    await self._asked.wait()
        return None

    async def _fetched(self, due: Due | None) -> Fetched:
        run, before = secrets.token_hex(_ID_BYTES), self._observer.sample_count(self._peripheral)
        plan = self._plan
        self._due_ns = self._run.clock.now().wall_ns if due is None else due.wall_ns
        waits = plan.waits and due is not None
        self._fetch = fetch = Fetch(self._session, plan.window_s, self._pace, waits=waits)
        try:
            end = await fetch.run()
        finally:
            self._fetch = None
        # What was held back on the link is published now, and counts.
        self._session.rest()
        samples = self._observer.sample_count(self._peripheral) - before
        outcome, reason = end.judged(samples)
        error = self._explained(end.fault) if outcome == "failed" else None
        if fetch.found:
            self._pace.ran(well=outcome in ("new_data", "no_data"))
        return Fetched(run, outcome, reason, end.duration_s, samples, self._due_ns, error)

    def _explained(self, fault: LinkFault | None) -> str:
        wait_s = self._pace.try_in_s
        return f"{fault}; no try for another {wait_s:.0f} s" if wait_s >= 1 else str(fault)

    async def _settle(self, schedule: Schedule, due: Due | None, fetched: Fetched) -> None:
        told = {"outcome": fetched.outcome, "reason": fetched.reason, "samples": fetched.samples}
        if fetched.error is not None:
            told["error"] = fetched.error
        self._log.info("fetched", fetch_run=fetched.run, duration_s=fetched.duration_s, **told)
        self._observer.on_fetched(self._peripheral, fetched)
        for asker in self._answered():
            asker.set_result(fetched)
        now = self._run.clock.now()
        if self._plan.waits:
            if fetched.outcome in ("failed", "timeout"):
                return  # what it showed itself for has not been fetched yet
            # Also one that was asked for: it has given what it had.
            due = due or schedule.due(now)
        if due is not None:
            point = schedule.done(due, now)
            await self._file.remember(self._peripheral, Last(*point, self._run.boot))

    def _answered(self) -> list["asyncio.Future[Fetched]"]:
        """Those who asked and still wait; they get their answer now."""
        askers, self._askers = self._askers, []
        self._asked.clear()
        return [one for one in askers if not one.done()]
