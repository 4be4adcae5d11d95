"""Which services are restarted, when, and what is logged."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from healthd.errors import Backoff, Fatal, Transient
from healthd.supervision.supervisor import (
    CRASH_LIMIT,
    HEALTHY_AFTER_S,
    LATE_AFTER_S,
    CrashLoop,
    Service,
    ServiceGroup,
    StrayCancellation,
    Supervisor,
    root_cause,
)

PACE = Backoff(first_s=1.0, ceiling_s=8.0)
CEILINGS = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def away(reason: str = "away") -> Transient:
    return Transient(reason, f"{reason}, as it happens", PACE)


class FakeTime:
    """Virtual time for the supervisor: a sleep returns at once, and is recorded."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        return self.now


class Longest(random.Random):
    """Randomness that always returns the ceiling."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0  # full jitter: from zero to the ceiling
        return b


class Script:
    """A service whose runs end with the given errors, one per run, and that then returns."""

    def __init__(self, *ends: Exception | Callable[[Callable[[], None]], Exception]) -> None:
        self._ends: Iterator[Exception | Callable[[Callable[[], None]], Exception]] = iter(ends)
        self.runs = 0

    async def __call__(self, mark_healthy: Callable[[], None]) -> None:
        self.runs += 1
        end = next(self._ends, None)
        if end is not None:
            raise end if isinstance(end, Exception) else end(mark_healthy)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    module = "healthd.supervision.supervisor"
    monkeypatch.setattr(
        f"{module}.asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": clock.sleep})
    )
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def captured() -> LogCapture:
    return LogCapture()


Keep = Callable[[Service], Awaitable[None]]


@pytest.fixture
def log(captured: LogCapture) -> FilteringBoundLogger:
    every_level = structlog.make_filtering_bound_logger(0)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[captured], wrapper_class=every_level
    )
    return logger


@pytest.fixture
def keep(log: FilteringBoundLogger) -> Keep:
    return lambda service: Supervisor(Longest()).keep(service, log)


def lines(captured: LogCapture) -> list[tuple[str, str, object]]:
    return [(line["log_level"], line["event"], line.get("reason")) for line in captured.entries]


async def test_a_service_that_returns_is_done(
    keep: Keep, clock: FakeTime, captured: LogCapture
) -> None:
    service = Script()
    await keep(service)
    assert (service.runs, clock.slept, captured.entries) == (1, [], [])


async def test_a_transient_fault_is_retried_forever(keep: Keep, clock: FakeTime) -> None:
    service = Script(*(away() for _ in range(2000)))
    await keep(service)
    assert service.runs == 2001
    assert clock.slept[:6] == CEILINGS
    assert max(clock.slept) == PACE.ceiling_s


async def test_waits_are_spread_from_zero_to_the_ceiling(
    clock: FakeTime, log: FilteringBoundLogger
) -> None:
    await Supervisor(random.Random(7)).keep(Script(*(away() for _ in range(500))), log)
    waits = clock.slept[3:]
    assert 0 <= min(waits) < 1
    assert 7 < max(waits) <= 8
    assert 3.5 < sum(waits) / len(waits) < 4.5


async def test_fatal_is_not_retried(keep: Keep, clock: FakeTime) -> None:
    service = Script(Fatal("bad settings"))
    with pytest.raises(Fatal, match="bad settings"):
        await keep(service)
    assert (service.runs, clock.slept) == (1, [])


async def test_a_bug_restarts_the_service_and_is_logged_with_its_traceback(
    keep: Keep, clock: FakeTime, captured: LogCapture
) -> None:
    bug = KeyError("x")
    service = Script(bug, bug)
    await keep(service)
    assert service.runs == 3
    assert len(clock.slept) == 2
    assert lines(captured) == [("error", "crashed", None)] * 2
    assert captured.entries[0]["exc_info"] is bug


async def test_ten_bugs_in_ten_minutes_are_a_crash_loop(keep: Keep, clock: FakeTime) -> None:
    bug = KeyError("x")
    service = Script(*(bug for _ in range(CRASH_LIMIT)))
    with pytest.raises(CrashLoop) as caught:
        await keep(service)
    assert caught.value.__cause__ is bug
    assert service.runs == CRASH_LIMIT == 10
    assert sum(clock.slept) < 600  # reached although every wait was the longest


async def test_nine_bugs_and_one_much_later_are_not_a_crash_loop(
    keep: Keep, clock: FakeTime
) -> None:
    def later(_: Callable[[], None]) -> Exception:
        clock.now += 600
        return KeyError("x")

    nine = [KeyError("x")] * (CRASH_LIMIT - 1)
    service = Script(*nine, later, *nine[1:])
    await keep(service)
    assert service.runs == 2 * CRASH_LIMIT - 1


async def test_transient_faults_are_not_crashes(keep: Keep, clock: FakeTime) -> None:
    bugs = [KeyError("x")] * (CRASH_LIMIT - 1)
    service = Script(*(end for bug in bugs for end in (away(), bug, away())))
    await keep(service)
    assert service.runs == 3 * len(bugs) + 1


@pytest.mark.parametrize(
    ("healthy_s", "wait_s"), [(HEALTHY_AFTER_S - 0.1, 4.0), (HEALTHY_AFTER_S, 1.0)]
)
async def test_after_a_long_healthy_run_the_wait_is_short_again(
    keep: Keep, clock: FakeTime, healthy_s: float, wait_s: float
) -> None:
    def lives(mark_healthy: Callable[[], None]) -> Exception:
        mark_healthy()
        clock.now += healthy_s / 2
        mark_healthy()  # a service may call it repeatedly
        clock.now += healthy_s / 2
        return away()

    await keep(Script(away(), away(), lives))
    assert clock.slept == [1.0, 2.0, wait_s]


@pytest.mark.parametrize(
    ("healthy_s", "waits"), [(HEALTHY_AFTER_S - 0.1, [1.0, 2.0]), (HEALTHY_AFTER_S, [0.0, 1.0])]
)
async def test_what_is_retried_at_once_still_waits_if_it_fails_soon(
    keep: Keep, clock: FakeTime, healthy_s: float, waits: list[float]
) -> None:
    at_once = Transient("lost", "the link ended", Backoff(1.0, 8.0, at_once=True))

    def lives(mark_healthy: Callable[[], None]) -> Exception:
        mark_healthy()
        clock.now += healthy_s
        return at_once

    await keep(Script(lives, at_once))
    assert clock.slept == waits


async def test_health_of_an_earlier_run_does_not_count(keep: Keep, clock: FakeTime) -> None:
    def lives(mark_healthy: Callable[[], None]) -> Exception:
        mark_healthy()
        return away()

    def lasts(_: Callable[[], None]) -> Exception:
        clock.now += 60
        return away()

    await keep(Script(lives, lasts, away()))
    assert clock.slept == [1.0, 2.0, 4.0]


async def test_one_line_per_transition(keep: Keep, clock: FakeTime, captured: LogCapture) -> None:
    def recovers(mark_healthy: Callable[[], None]) -> Exception:
        mark_healthy()
        return away("a")

    await keep(Script(away("a"), away("a"), away("b"), away("b"), away("a"), recovers))
    assert lines(captured) == [
        ("warning", "retrying", "a"),
        ("debug", "retrying", "a"),
        ("warning", "retrying", "b"),
        ("debug", "retrying", "b"),
        ("warning", "retrying", "a"),
        ("warning", "retrying", "a"),
    ]
    assert captured.entries[0]["error"] == "a, as it happens"
    assert captured.entries[0]["wait_s"] == 1.0


async def test_a_bug_is_a_transition_too(keep: Keep, clock: FakeTime, captured: LogCapture) -> None:
    await keep(Script(away(), KeyError("x"), away()))
    assert [line[0] for line in lines(captured)] == ["warning", "error", "warning"]


async def test_the_fault_inside_an_exception_group_counts(
    keep: Keep, clock: FakeTime, captured: LogCapture
) -> None:
    async def service(_: Callable[[], None]) -> None:
        if clock.slept:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Script(away())(lambda: None))

    await keep(service)
    assert lines(captured) == [("warning", "retrying", "away")]


async def test_a_fatal_error_in_a_group_is_raised_bare(keep: Keep, clock: FakeTime) -> None:
    fatal = Fatal("bad settings")
    with pytest.raises(Fatal) as caught:
        await keep(Script(ExceptionGroup("", [away(), fatal])))
    assert caught.value is fatal


AWAY, BUG, FATAL = away(), KeyError("x"), Fatal("bad settings")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BUG, BUG),
        (ExceptionGroup("", [AWAY]), AWAY),
        (ExceptionGroup("", [AWAY, BUG]), BUG),
        (ExceptionGroup("", [BUG, FATAL, AWAY]), FATAL),
        (ExceptionGroup("", [AWAY, ExceptionGroup("", [BUG, ExceptionGroup("", [FATAL])])]), FATAL),
    ],
)
def test_root_cause_is_the_most_severe_error(error: Exception, cause: Exception) -> None:
    assert root_cause(error) is cause


async def test_one_failing_service_leaves_the_others_alone(
    log: FilteringBoundLogger, clock: FakeTime
) -> None:
    supervisor = Supervisor(Longest())
    failed, steady = asyncio.Event(), Script()

    async def works(mark_healthy: Callable[[], None]) -> None:
        await steady(mark_healthy)
        await failed.wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(supervisor.keep(works, log))
        await supervisor.keep(Script(*(KeyError("x") for _ in range(5))), log)
        waits = list(clock.slept)
        failed.set()
        await supervisor.keep(Script(away()), log)
        assert clock.slept[len(waits) :] == [1.0]  # its own backoff, not that of the other service
        assert not kept.done()
        kept.cancel()
    assert steady.runs == 1


async def test_cancellation_passes_through_a_running_service(log: FilteringBoundLogger) -> None:
    started = asyncio.Event()

    async def service(_: Callable[[], None]) -> None:
        started.set()
        await asyncio.Event().wait()

    kept = asyncio.create_task(Supervisor(random.Random(1)).keep(service, log))
    async with asyncio.timeout(10):
        await started.wait()
        kept.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kept


async def test_cancellation_passes_through_a_wait(log: FilteringBoundLogger) -> None:
    failed = asyncio.Event()

    async def service(_: Callable[[], None]) -> None:
        failed.set()
        raise Transient("away", "away", Backoff(first_s=3600, ceiling_s=3600))

    kept = asyncio.create_task(Supervisor(Longest()).keep(service, log))
    async with asyncio.timeout(10):
        await failed.wait()
        kept.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kept


async def test_a_stray_cancellation_is_a_bug(
    keep: Keep, clock: FakeTime, captured: LogCapture
) -> None:
    runs = 0

    async def service(_: Callable[[], None]) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            abandoned = asyncio.get_running_loop().create_future()
            abandoned.cancel()  # as a library does with its futures when its connection ends
            await abandoned

    await keep(service)
    assert runs == 2
    assert lines(captured) == [("error", "crashed", None)]
    assert isinstance(captured.entries[0]["exc_info"], StrayCancellation)


async def test_a_missing_restart_is_late(
    clock: FakeTime, log: FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, asleep, wake = Supervisor(Longest()), asyncio.Event(), asyncio.Event()
    running = asyncio.Event()

    async def oversleep(_: float) -> None:
        asleep.set()
        await wake.wait()

    monkeypatch.setattr(
        "healthd.supervision.supervisor.asyncio",
        SimpleNamespace(**vars(asyncio) | {"sleep": oversleep}),
    )

    async def service(_: Callable[[], None]) -> None:
        if not asleep.is_set():
            raise away()
        running.set()
        await asyncio.Event().wait()

    kept = asyncio.create_task(supervisor.keep(service, log))
    async with asyncio.timeout(10):
        await asleep.wait()
        clock.now += PACE.first_s + LATE_AFTER_S
        assert supervisor.late() == 0
        clock.now += 0.1
        assert supervisor.late() == 1
        wake.set()
        await running.wait()
        clock.now += 3600
        assert supervisor.late() == 0  # a service that runs is never late
        kept.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kept
    assert supervisor.late() == 0


async def test_one_service_of_a_group_is_ended_and_started_again_alone(
    log: FilteringBoundLogger,
) -> None:
    begun: list[str] = []
    cleaned_up = asyncio.Event()

    async def other(_: Callable[[], None]) -> None:
        begun.append("other")
        await asyncio.Event().wait()

    async def slow_to_end(_: Callable[[], None]) -> None:
        begun.append("one")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.set()

    async with asyncio.timeout(10), ServiceGroup(Supervisor(random.Random())) as services:
        services.start("one", slow_to_end, log)
        services.start("other", other, log)
        await asyncio.sleep(0)
        services.cancel("one")
        await asyncio.sleep(0)
        services.cancel("one")  # does not interrupt its cleanup
        await services.wait_ended("one")
        assert cleaned_up.is_set()
        services.start("one", slow_to_end, log)
        await asyncio.sleep(0)
        assert begun == ["one", "other", "one"]
        services.cancel("one", "other")
        await services.wait_ended("one", "other")


async def test_a_service_that_failed_in_a_task_group_can_be_ended(
    log: FilteringBoundLogger,
) -> None:
    """In Python 3.11 its task counts as being cancelled from then on."""
    failed, again = asyncio.Event(), asyncio.Event()

    async def fails_once(_: Callable[[], None]) -> None:
        if failed.is_set():
            again.set()
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async def fail() -> None:
        failed.set()
        raise Transient("away", "away", Backoff(0, 0))

    async with asyncio.timeout(10), ServiceGroup(Supervisor(random.Random())) as services:
        services.start("mqtt", fails_once, log)
        await again.wait()
        services.cancel("mqtt")
        await services.wait_ended("mqtt")


async def test_a_service_that_is_ended_while_it_fails_is_not_started_again(
    log: FilteringBoundLogger,
) -> None:
    """Python 3.11 loses a cancellation that arrives while a task group is failing."""
    starts: list[str] = []
    failing, cleaned_up = asyncio.Event(), asyncio.Event()

    async def service(_: Callable[[], None]) -> None:
        starts.append("mqtt")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cleans_up_slowly())
            await asyncio.sleep(0)
            tasks.create_task(fail())

    async def cleans_up_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            failing.set()
            await cleaned_up.wait()

    async def fail() -> None:
        raise Transient("stalled", "stalled", Backoff(0, 0))

    async with asyncio.timeout(10), ServiceGroup(Supervisor(random.Random())) as services:
        services.start("mqtt", service, log)
        await failing.wait()
        services.cancel("mqtt")
        await asyncio.sleep(0)
        cleaned_up.set()
        await services.wait_ended("mqtt")
    assert starts == ["mqtt"]


async def test_a_service_that_loses_its_cancellation_is_cancelled_again(
    log: FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.supervision.supervisor.CANCELLED_AGAIN_S", 0.05)

    async def forgetful(_: Callable[[], None]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(10), ServiceGroup(Supervisor(random.Random())) as services:
        services.start("mqtt", forgetful, log)
        await asyncio.sleep(0)
        services.cancel("mqtt")
        await services.wait_ended("mqtt")
