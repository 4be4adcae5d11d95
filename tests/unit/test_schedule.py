"""When a periodic peripheral is due, across days and years of virtual time."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.samples import Stamp
from healthd.schedule import (
    AtTimes,
    Due,
    Every,
    Last,
    Rearmed,
    Schedule,
    schedule_for,
)

S = 1_000_000_000
DAY = 86_400 * S
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")


class World:
    """Two clocks, a process that starts and stops, and what it has stored."""

    def __init__(self, wall: datetime, make: Callable[[Last | None, str, Stamp], Schedule]) -> None:
        self.wall_ns = round(wall.timestamp()) * S
        self.mono_ns = 1000 * S
        self.boots = 1
        self.kept: Last | None = None
        self.runs: list[Due] = []
        self.began: list[int] = []
        self._make = make
        self.start()

    @property
    def boot(self) -> str:
        return f"boot-{self.boots}"

    def now(self) -> Stamp:
        return Stamp(self.wall_ns, self.mono_ns, "synced")

    def start(self) -> None:
        self.schedule = self._make(self.kept, self.boot, self.now())

    def passes(self, by_ns: int) -> None:
        self.wall_ns += by_ns
        self.mono_ns += by_ns

    def down(self, by_ns: int, *, reboot: bool = False) -> None:
        self.passes(by_ns)
        if reboot:
            self.boots += 1
            self.mono_ns = 20 * S
        self.start()

    def due(self) -> Due:
        return self.schedule.due(self.now())

    def run(self, takes_ns: int = 0) -> None:
        """Wait for the next point, and mark it done."""
        due = self.due()
        self.passes(max(0, due.mono_ns - self.mono_ns))
        due = self.due()
        assert due.mono_ns <= self.mono_ns
        self.runs.append(due)
        self.began.append(self.wall_ns)
        self.passes(takes_ns)
        self.kept = Last(*self.schedule.done(due, self.now()), self.boot)

    def run_until(self, wall_ns: int, takes_ns: int = 0) -> None:
        while self.wall_ns + max(0, self.due().mono_ns - self.mono_ns) <= wall_ns:
            self.run(takes_ns)
        self.passes(max(0, wall_ns - self.wall_ns))


def every(seconds: float) -> World:
    return World(
        datetime(2027, 1, 1, tzinfo=UTC), lambda last, boot, now: Every(seconds, last, boot, now)
    )


def at(wall: datetime, *times: time, zone: tzinfo = BERLIN) -> World:
    return World(wall, lambda last, _, now: AtTimes(times, lambda: zone, last, now))


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


def run_times(world: World) -> list[str]:
    times = (datetime.fromtimestamp(due.wall_ns / S, BERLIN) for due in world.runs)
    return [f"{when:%m-%d %H:%M%z}" for when in times]


class TestEvery:
    def test_the_first_run_is_due_at_once(self) -> None:
        world = every(900)
        assert world.due().mono_ns == world.mono_ns

    def test_200_days_without_drift(self) -> None:
        world = every(900)
        began, chance = world.mono_ns, random.Random(1)
        until = world.wall_ns + 200 * DAY
        while world.wall_ns < until:
            world.passes(chance.randrange(0, 5 * S))  # every wake-up is late
            world.run(chance.randrange(0, 120 * S))
        points = [one.mono_ns - began for one in world.runs]
        assert points == [number * 900 * S for number in range(200 * 96 + 1)]

    def test_steps_of_the_wall_clock_have_no_effect(self) -> None:
        world = every(900)
        began, chance = world.mono_ns, random.Random(2)
        for _ in range(2000):
            world.run(S)
            world.wall_ns += chance.choice([0, 0, -3600 * S, 7200 * S, -DAY, 400 * DAY])
        points = [one.mono_ns - began for one in world.runs]
        assert points == [number * 900 * S for number in range(2000)]

    @pytest.mark.parametrize("reboot", [False, True])
    def test_missed_runs_are_made_up_for_once_and_the_grid_stays(self, reboot: bool) -> None:
        world = every(900)
        world.run()
        first = world.runs[0].wall_ns
        world.down(5 * 900 * S + 100 * S, reboot=reboot)
        world.run()
        assert world.began[1] - first == 5 * 900 * S + 100 * S, "at once"
        world.run()
        assert [one.wall_ns - first for one in world.runs] == [0, 5 * 900 * S, 6 * 900 * S]

    @pytest.mark.parametrize("reboot", [False, True])
    def test_a_restart_between_two_runs_has_no_effect(self, reboot: bool) -> None:
        world = every(900)
        world.run()
        first = world.runs[0].wall_ns
        world.down(300 * S, reboot=reboot)
        world.run()
        assert world.began[1] - first == 900 * S

    def test_a_point_that_was_not_done_before_a_restart_is_due_again(self) -> None:
        world = every(900)
        world.run()
        world.passes(900 * S)
        assert world.due().mono_ns <= world.mono_ns
        world.down(10 * S)
        assert world.due().mono_ns <= world.mono_ns

    @pytest.mark.parametrize("wrong_ns", [-3 * 365 * DAY, -3600 * S])
    def test_a_boot_with_a_clock_in_the_past_delays_by_a_period_at_most(
        self, wrong_ns: int
    ) -> None:
        world = every(900)
        world.run()
        world.wall_ns += wrong_ns
        world.down(0, reboot=True)
        assert 0 <= world.due().mono_ns - world.mono_ns <= 900 * S

    @given(
        st.floats(1, 1e6),
        st.lists(st.tuples(st.integers(0, 30 * DAY), st.booleans(), st.integers(-DAY, DAY))),
    )
    def test_no_point_is_due_twice_or_later_than_a_period(
        self, seconds: float, steps: list[tuple[int, bool, int]]
    ) -> None:
        world = every(seconds)
        for down_ns, reboot, step_ns in steps:
            world.run()
            world.wall_ns += step_ns
            world.down(down_ns, reboot=reboot)
            due = world.due()
            assert due.mono_ns - world.mono_ns <= round(seconds * S)
            assert world.mono_ns - due.mono_ns < round(seconds * S), "the latest point"
        mono = world.mono_ns
        world.run()
        assert world.due().mono_ns > mono


class TestAtTimes:
    def test_the_first_run_is_at_the_next_time(self) -> None:
        world = at(local(2027, 1, 10, 9), time(8), time(20))
        world.run_until(world.wall_ns + 2 * DAY)
        assert [text[:11] for text in run_times(world)] == [
            "01-10 20:00", "01-11 08:00", "01-11 20:00", "01-12 08:00",
        ]  # fmt: skip

    def test_250_days_with_both_clock_changes(self) -> None:
        start = local(2027, 3, 1)
        times = (time(2, 30), time(8), time(23, 59))
        world = at(start, *times)
        world.run_until(world.wall_ns + 250 * DAY, takes_ns=90 * S)
        days = {(start.date() + timedelta(days=number)) for number in range(250)}
        seen: dict[date, list[str]] = {}
        for due in world.runs:
            when = datetime.fromtimestamp(due.wall_ns / S, BERLIN)
            seen.setdefault(when.date(), []).append(f"{when:%H:%M}")
        assert days <= seen.keys()
        assert seen.pop(date(2027, 3, 28)) == ["03:00", "08:00", "23:59"], "no 02:30 that day"
        assert seen[date(2027, 10, 31)] == ["02:30", "08:00", "23:59"], "twice 02:30 that day"
        seen.pop(max(seen))  # this day is not over
        assert set(map(tuple, seen.values())) == {("02:30", "08:00", "23:59")}

    def test_a_time_that_occurs_twice_is_due_the_first_time(self) -> None:
        world = at(local(2027, 10, 30, 12), time(2, 30))
        world.run_until(world.wall_ns + 2 * DAY)
        assert run_times(world) == ["10-31 02:30+0200", "11-01 02:30+0100"]

    def test_two_times_that_do_not_exist_are_one_run(self) -> None:
        world = at(local(2027, 3, 28), time(2, 15), time(2, 45))
        world.run_until(world.wall_ns + DAY // 2)
        assert run_times(world) == ["03-28 03:00+0200"]

    def test_a_day_that_does_not_exist(self) -> None:
        apia = ZoneInfo("Pacific/Apia")  # where 30 December 2011 did not exist
        world = at(datetime(2011, 12, 29, 12, tzinfo=apia), time(8), zone=apia)
        world.run_until(world.wall_ns + 3 * DAY)
        days = [datetime.fromtimestamp(one.wall_ns / S, apia) for one in world.runs]
        assert [f"{one:%d %H:%M}" for one in days][:3] == ["31 00:00", "31 08:00", "01 08:00"]

    @pytest.mark.parametrize("reboot", [False, True])
    def test_missed_runs_are_made_up_for_once(self, reboot: bool) -> None:
        world = at(local(2027, 1, 10, 7), time(8))
        world.run()
        world.down(5 * DAY + 3600 * S, reboot=reboot)
        world.run()
        world.run()
        assert [text[:11] for text in run_times(world)] == [
            "01-10 08:00",
            "01-15 08:00",
            "01-16 08:00",
        ]
        assert world.began[1] == round(local(2027, 1, 15, 9).timestamp()) * S

    def test_a_time_that_was_stepped_over_is_made_up_for(self) -> None:
        world = at(local(2027, 1, 10, 7, 59), time(8))
        world.wall_ns += 3600 * S
        assert world.due().mono_ns <= world.mono_ns

    def test_a_time_that_is_reached_twice_by_a_step_is_due_once(self) -> None:
        world = at(local(2027, 1, 10, 7, 59), time(8))
        world.run()
        world.wall_ns -= 3600 * S
        world.run()
        assert [text[:11] for text in run_times(world)] == ["01-10 08:00", "01-11 08:00"]

    def test_a_clock_that_was_years_ahead_does_not_block_the_schedule(self) -> None:
        world = at(local(2031, 1, 10, 7), time(8))
        world.run()
        world.wall_ns = round(local(2027, 5, 1, 7).timestamp()) * S
        world.down(0)
        world.run()
        assert run_times(world)[1] == "05-01 08:00+0200"

    @given(
        st.sampled_from(ZONES),
        st.integers(0, 3 * 365 * 24 * 60),
        st.lists(st.times(), min_size=1, max_size=4, unique=True),
        st.lists(st.integers(-2 * DAY, 9 * DAY), max_size=12),
    )
    def test_no_point_twice_and_none_further_than_two_days(
        self, zone: str, minutes: int, times: list[time], steps: list[int]
    ) -> None:
        start = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
        exact = tuple(one.replace(second=0, microsecond=0, fold=0) for one in times)
        world = at(start, *exact, zone=ZoneInfo(zone))
        for step_ns in steps:
            world.run()
            world.wall_ns += step_ns
            world.down(0)
            # A day between two times, an hour of clock change, and a clock that was a day ahead.
            assert world.due().mono_ns - world.mono_ns <= 2 * DAY + 3600 * S
        forward = [one for one in steps if one >= 0]
        if len(forward) == len(steps):
            points = [one.wall_ns for one in world.runs]
            assert points == sorted(set(points))


class TestRearmed:
    def test_counts_from_the_end_of_a_run(self) -> None:
        world = World(local(2027, 1, 1), lambda last, boot, now: Rearmed(300, last, boot, now))
        assert world.due().mono_ns == world.mono_ns
        world.run(takes_ns=20 * S)
        assert world.due().mono_ns - world.mono_ns == 300 * S
        world.down(100 * S)
        assert world.due().mono_ns - world.mono_ns == 200 * S
        world.down(50 * S, reboot=True)
        assert world.due().mono_ns - world.mono_ns == 150 * S
        world.wall_ns -= 9 * DAY
        world.down(0, reboot=True)
        assert world.due().mono_ns - world.mono_ns == 300 * S


@pytest.mark.parametrize(
    ("cadence", "kind"), [(900.0, Every), ((time(8),), AtTimes)], ids=["duration", "times"]
)
def test_schedule_for(cadence: float | tuple[time, ...], kind: type) -> None:
    now = Stamp(0, 0, "synced")
    assert isinstance(schedule_for(cadence, None, "", now, lambda: UTC), kind)
