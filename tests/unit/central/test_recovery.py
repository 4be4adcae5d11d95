"""Which recovery step is due, and when."""

import itertools
import math

import pytest

from healthd.central.recovery import FAILURES, SILENCE_S, Recovery, Step


class Time:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def recovery(time: Time) -> Recovery:
    return Recovery(time)


def steps(recovery: Recovery, time: Time, seconds: int) -> list[tuple[int, Step]]:
    """Return which steps are due in the next seconds, and when."""
    begin = time.now
    taken: list[tuple[int, Step]] = []
    for second in range(seconds):
        time.now = begin + second
        if (step := recovery.due(linked=False)) is not None:
            taken.append((second, step))
    return taken


def fail(recovery: Recovery, times: int = FAILURES) -> None:
    for _ in range(times):
        recovery.failed()


def test_a_working_adapter_needs_no_step(recovery: Recovery, time: Time) -> None:
    assert steps(recovery, time, 1000) == []


def test_some_failures_are_normal(recovery: Recovery, time: Time) -> None:
    for _ in range(10):
        fail(recovery, FAILURES - 1)
        recovery.worked()
    assert steps(recovery, time, 1000) == []


def test_steps_become_more_drastic(recovery: Recovery, time: Time) -> None:
    fail(recovery)
    taken = steps(recovery, time, 4000)
    assert taken[:3] == [(0, Step.RESCAN), (60, Step.POWER_CYCLE), (120, Step.RESET)]
    assert taken[3:6] == [(1020, Step.RESCAN), (1080, Step.POWER_CYCLE), (1140, Step.RESET)]
    assert taken[6:] == [(2940, Step.RESCAN), (3000, Step.POWER_CYCLE), (3060, Step.RESET)]


def test_resets_become_rare_down_to_every_four_hours(recovery: Recovery, time: Time) -> None:
    fail(recovery)
    resets = [at for at, step in steps(recovery, time, 200_000) if step is Step.RESET]
    assert resets[-1] - resets[-2] == 4 * 3600 + 120


def test_an_adapter_that_comes_back_broken_is_not_reset_sooner(
    recovery: Recovery, time: Time
) -> None:
    fail(recovery)
    steps(recovery, time, 121)
    recovery.start_over()
    fail(recovery)
    assert steps(recovery, time, 800) == []


def test_recovery_ends_when_a_link_is_made(recovery: Recovery, time: Time) -> None:
    fail(recovery)
    assert steps(recovery, time, 1) == [(0, Step.RESCAN)]
    recovery.worked()
    assert steps(recovery, time, 1000) == []


def test_a_silent_scanner_is_recovered(recovery: Recovery, time: Time) -> None:
    recovery.scanning(True)
    recovery.heard()
    assert steps(recovery, time, 300) == [
        (SILENCE_S, Step.RESCAN),
        (SILENCE_S + 60, Step.POWER_CYCLE),
        (SILENCE_S + 120, Step.RESET),
    ]


def test_a_scanner_that_hears_something_needs_no_step(recovery: Recovery, time: Time) -> None:
    recovery.scanning(True)
    for _ in range(20):
        recovery.heard()
        assert steps(recovery, time, int(SILENCE_S)) == []


def hear(recovery: Recovery, time: Time, seconds: int, every_s: int = 10) -> None:
    for _ in range(seconds // every_s):
        recovery.heard()
        time.now += every_s


def test_a_scanner_that_worked_for_long_is_recovered_at_once(
    recovery: Recovery, time: Time
) -> None:
    recovery.scanning(True)
    for _ in range(5):  # there is no link that would shorten the pauses
        recovery.heard()
        steps(recovery, time, 2000)
    hear(recovery, time, 1800)
    recovery.heard()
    assert steps(recovery, time, 300) == [
        (SILENCE_S, Step.RESCAN),
        (SILENCE_S + 60, Step.POWER_CYCLE),
        (SILENCE_S + 120, Step.RESET),
    ]


def test_a_place_where_someone_passes_now_and_then_is_left_alone(
    recovery: Recovery, time: Time
) -> None:
    recovery.scanning(True)
    taken: list[Step] = []
    for _ in range(24):
        hear(recovery, time, 60)
        taken += [step for _, step in steps(recovery, time, 3540)]
    assert 1 <= taken.count(Step.RESET) <= 10, "in a day"


def test_silence_does_not_count_before_anything_was_heard(recovery: Recovery, time: Time) -> None:
    recovery.scanning(True)
    assert steps(recovery, time, 10_000) == []


def test_silence_counts_only_while_the_scanner_runs(recovery: Recovery, time: Time) -> None:
    recovery.scanning(True)
    recovery.heard()
    recovery.scanning(False)
    assert steps(recovery, time, 10_000) == []


def test_existing_links_are_not_ended(recovery: Recovery, time: Time) -> None:
    fail(recovery)
    for _ in range(5):
        assert recovery.due(linked=True) is Step.RESCAN
        assert recovery.due(linked=True) is None
        time.now += 60


def test_a_step_has_its_time_even_if_the_scanner_hears_something(
    recovery: Recovery, time: Time
) -> None:
    recovery.scanning(True)
    hear(recovery, time, 1800)
    fail(recovery)
    taken: list[tuple[float, Step]] = []
    begin = time.now
    for _ in range(100):
        if (step := recovery.due(linked=False)) is not None:
            taken.append((time.now - begin, step))
        hear(recovery, time, 1, every_s=1)
    assert taken == [(0, Step.RESCAN), (60, Step.POWER_CYCLE)]


def test_steps_come_when_they_were_announced(recovery: Recovery, time: Time) -> None:
    fail(recovery)
    taken: list[tuple[float, Step]] = []
    for _ in range(4):
        assert recovery.due_at is not None
        time.now = max(time.now, recovery.due_at)
        step = recovery.due(linked=False)
        assert step is not None
        taken.append((time.now - 1000, step))
    assert taken == [
        (0, Step.RESCAN),
        (60, Step.POWER_CYCLE),
        (120, Step.RESET),
        (1020, Step.RESCAN),
    ]


class Waiting:
    """Waits for the next step, as ``watch`` does: it looks again only after a change."""

    def __init__(self) -> None:
        self.time = Time()
        self.recovery = Recovery(self.time)
        self.recovery.attach(self._look)
        self._expected = math.inf

    def _look(self) -> None:
        due_at = self.recovery.due_at
        self._expected = math.inf if due_at is None else due_at

    def happens(self, what: str) -> None:
        """Let something happen, and check that no step is due before it is expected."""
        match what:
            case "hears":
                for _ in range(32):
                    self.recovery.heard()
                    self._check(what)
                    self.time.now += 30
            case "fails":
                fail(self.recovery)
            case "works":
                self.recovery.worked()
            case "scans" | "stops":
                self.recovery.scanning(what == "scans")
            case "steps":
                if self.recovery.due(linked=False) is not None:
                    self._look()
                self.time.now += 60
            case "starts over":
                self.recovery.start_over()
            case _:
                self.time.now += 950
                self._look()
        self._check(what)

    def _check(self, what: str) -> None:
        due_at = self.recovery.due_at
        # A time in the past is as good as now.
        sooner = due_at is not None and max(due_at, self.time.now) < self._expected
        assert not sooner, what


EVENTS = ("hears", "fails", "works", "scans", "stops", "steps", "starts over", "time passes")


@pytest.mark.parametrize(
    "before", [(), ("fails", *(["steps"] * 3), "time passes", *(["steps"] * 3))]
)
def test_a_step_that_comes_sooner_is_announced(before: tuple[str, ...]) -> None:
    for events in itertools.product(EVENTS, repeat=4):
        waiting = Waiting()
        for event in (*before, *events):
            waiting.happens(event)
