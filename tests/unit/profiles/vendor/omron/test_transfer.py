"""What is fetched from a cuff, against memories of all layouts: each record once."""

import random
from collections import Counter
from datetime import datetime, timedelta
from math import ceil, log2

import pytest

from healthd.profiles.blood_pressure import BloodPressure
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer
from healthd.profiles.link_state import Timed
from healthd.profiles.vendor import omron, omron_modern
from healthd.profiles.vendor.omron import frames
from healthd.profiles.vendor.omron.frames import decode_memory
from healthd.profiles.vendor.omron.transfer import CuffState
from healthd.simulator.vendor.omron import reading
from healthd.simulator.vendor.omron_memory import MAPS, Cuff, Map, Memory, Reading
from tests.support.cuff_link import Disk, Link, options

KEY = bytes(range(16))
BEGIN = datetime(2026, 1, 1, 7, 30)  # noqa: DTZ001 - a cuff knows no zone

Result = tuple[int, str, float, float]


class Owner:
    """A cuff, its owners, and everything that they have measured."""

    def __init__(self, model: str, seed: int = 1) -> None:
        self.model = model
        self.memory = Memory(model)
        self.measured: list[tuple[int, Reading]] = []
        self._rng = random.Random(seed)

    @property
    def map(self) -> Map:
        return self.memory.map

    def measure(
        self, times: int = 1, user: int | None = None, *, slow: timedelta = timedelta()
    ) -> None:
        for _ in range(times):
            whose = user or self._rng.randint(1, len(self.map.users))
            made = reading(self._rng, BEGIN - slow + timedelta(minutes=17 * len(self.measured)))
            self.memory.store(whose, made)
            self.measured.append((whose, made))

    def fill(self) -> None:
        for user in range(1, len(self.map.users) + 1):
            self.measure(self.map.records, user)

    def results(self, since: int = 0) -> list[Result]:
        return [
            (user, made.at.isoformat(), made.systolic, made.diastolic)
            for user, made in self.measured[since:]
        ]

    def link(self, disk: Disk, **more: object) -> Link:
        return Link(Cuff(self.memory, key=KEY), disk, **more)  # type: ignore[arg-type]

    def fetch(self, disk: Disk) -> Dialogue:
        profile = omron_modern.PROFILE if self.map.is_modern else omron.PROFILE
        assert profile.opening is not None
        return profile.opening.exchange(options(self.model, disk.records, KEY))


def results(link: Link) -> list[Result]:
    made = [timed.measurement for timed in link.samples]
    assert all(isinstance(each, BloodPressure) for each in made)
    return [
        (
            each.user_id or 0,
            each.device_time or "",
            each.systolic_mmhg or 0,
            each.diastolic_mmhg or 0,
        )
        for each in made
        if isinstance(each, BloodPressure)
    ]


def fetched(owner: Owner, disk: Disk, **more: object) -> Link:
    link = owner.link(disk, **more)
    link.run(owner.fetch(disk))
    assert link.cuff.written == []
    return link


@pytest.mark.parametrize("model", MAPS)
def test_a_full_memory_is_fetched_whole_and_only_once(model: str) -> None:
    owner, disk = Owner(model), Disk()
    owner.fill()
    first = fetched(owner, disk)
    assert sorted(results(first)) == sorted(owner.results())
    assert all(size <= owner.map.most_bytes for _, size in first.cuff.reads)
    assert fetched(owner, disk).samples == []
    disk.restart()
    again = fetched(owner, disk)
    assert again.samples == []
    # The index, and the newest record of each user.
    assert len(again.cuff.reads) == 1 + len(owner.map.users)


@pytest.mark.parametrize("model", MAPS)
def test_the_newest_is_live_and_what_is_older_belongs_to_the_history(model: str) -> None:
    owner, disk = Owner(model), Disk()
    owner.measure(9)
    link = fetched(owner, disk)
    live = [timed for timed in link.samples if not timed.stored]
    assert [timed.measurement for timed in live] == [link.samples[-1].measurement]
    newest = max(owner.results(), key=lambda result: result[1])
    assert results(link)[-1] == newest
    for user in range(1, len(owner.map.users) + 1):
        history = [time for whose, time, _, _ in results(link) if whose == user]
        assert history == sorted(history), "oldest first"


@pytest.mark.parametrize("model", MAPS)
def test_only_what_is_new_is_read(model: str) -> None:
    owner, disk = Owner(model), Disk()
    owner.fill()
    fetched(owner, disk)
    for times in (1, 2, 5):
        known = len(owner.measured)
        owner.measure(times, user=1)
        link = fetched(owner, disk)
        assert results(link) == owner.results(known)
        # The index, the newest of each user, halving, and the new ones themselves.
        halving = ceil(log2(owner.map.records)) + 1
        assert len(link.cuff.reads) <= 1 + len(owner.map.users) + halving + times


def test_records_of_a_user_who_seldom_measures_are_not_forgotten() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.fill()
    fetched(owner, disk)
    # More than healthd remembers of both, while the records of user 2 stay in the memory.
    for _ in range(12):
        known = len(owner.measured)
        owner.measure(100, user=1)
        assert results(fetched(owner, disk)) == owner.results(known)
    disk.restart()
    known = len(owner.measured)
    owner.measure(3, user=2)
    assert results(fetched(owner, disk)) == owner.results(known)


@pytest.mark.parametrize("model", MAPS)
def test_a_ring_that_wraps_between_two_links_loses_only_what_the_cuff_has_lost(model: str) -> None:
    owner, disk = Owner(model), Disk()
    owner.fill()
    fetched(owner, disk)
    for times in (owner.map.records - 1, owner.map.records, owner.map.records + 3):
        known = len(owner.measured)
        owner.measure(times, user=1)
        lost = max(times - owner.map.records, 0)
        assert results(fetched(owner, disk)) == owner.results(known + lost)


@pytest.mark.parametrize("model", MAPS)
def test_each_record_is_fetched_once_however_links_break(model: str) -> None:
    for seed in range(12):
        owner, disk, rng = Owner(model, seed), Disk(), random.Random(seed)
        made: Counter[Result] = Counter()
        owner.fill()
        for _ in range(6):
            link = fetched(owner, disk, breaks_after=rng.randrange(owner.map.records * 2))
            made.update(results(link))
            if rng.random() < 0.5:
                disk.restart()
            # So few that the cuff overwrites nothing that is not fetched yet: the next test.
            if not set(owner.results()) - set(made):
                owner.measure(rng.randrange(3))
        made.update(results(fetched(owner, disk)))
        assert made == Counter(owner.results())


def test_a_link_that_breaks_at_any_step_loses_and_repeats_nothing() -> None:
    owner, whole = Owner("HEM-7322T"), Disk()
    owner.measure(30)
    steps = fetched(owner, whole).answers
    assert steps > 15
    for step in range(steps):
        disk = Disk()
        broken = fetched(owner, disk, breaks_after=step)
        rest = fetched(owner, disk)
        assert Counter(results(broken)) + Counter(results(rest)) == Counter(owner.results())
        assert fetched(owner, disk).samples == []


def test_measurements_between_broken_links_keep_their_place() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(60)
    made: Counter[Result] = Counter()
    for _ in range(5):
        made.update(results(fetched(owner, disk, breaks_after=25)))
        owner.measure(4)
    made.update(results(fetched(owner, disk)))
    assert made == Counter(owner.results())


@pytest.mark.parametrize("model", ["HEM-7361T", "HEM-7600T"])
def test_a_kill_after_the_clock_was_set_back_loses_no_record(model: str) -> None:
    for step in range(40):
        owner, disk = Owner(model), Disk()
        owner.measure(12)
        owner.measure(12, slow=timedelta(days=3))
        made = Counter(results(fetched(owner, disk, breaks_after=step, is_killed=True)))
        disk.restart()
        made.update(results(fetched(owner, disk)))
        assert made == Counter(owner.results())


def test_wrong_checksums_and_lost_answers_are_asked_for_again() -> None:
    def every_fourth(number: int) -> bool:
        return number > 3 and number % 4 == 0

    def every_third(number: int) -> bool:
        return number % 3 == 0

    owner, disk = Owner("HEM-7322T"), Disk()
    owner.fill()
    link = owner.link(disk, loses=every_fourth)
    link.cuff = Cuff(owner.memory, key=KEY, damage=every_third)
    link.run(owner.fetch(disk))
    assert Counter(results(link)) == Counter(owner.results())
    assert len(link.asked) > 1.5 * len(set(link.asked))


def test_a_cuff_that_answers_nothing_right_is_given_up_after_five_tries() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(5)
    link = owner.link(disk)
    link.cuff = Cuff(owner.memory, key=KEY, damage=lambda number: number > 3)
    with pytest.raises(NoAnswer):
        link.run(owner.fetch(disk))
    reads = [frame for frame in link.asked if frame[1:3] == b"\1\0"]
    assert Counter(reads).most_common(1)[0][1] == 5
    assert Counter(results(fetched(owner, disk))) + Counter(results(link)) == Counter(
        owner.results()
    )


@pytest.mark.parametrize("model", MAPS)
def test_an_empty_memory_is_read_with_one_look_for_each_user(model: str) -> None:
    owner, disk = Owner(model), Disk()
    link = fetched(owner, disk)
    assert link.samples == []
    assert len(link.cuff.reads) == 1 + len(owner.map.users)


def test_the_counter_of_unread_records_loses_nothing() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(10)
    # Another app has read them.
    owner.memory.write(owner.map.index + 4, bytes.fromhex("00800080"))
    assert Counter(results(fetched(owner, disk))) == Counter(owner.results())


@pytest.mark.parametrize("index", ["ffffffffffffffff", "c800c80000000000"])
def test_an_index_that_makes_no_sense_costs_time_and_no_record(index: str) -> None:
    owner, disk = Owner("HEM-7155T"), Disk()
    owner.measure(20)
    owner.memory.write(owner.map.index, bytes.fromhex(index))
    link = fetched(owner, disk)
    assert Counter(results(link)) == Counter(owner.results())
    assert len(link.cuff.reads) > 2 * owner.map.records
    assert fetched(owner, disk).samples == []


def test_a_record_that_cannot_be_read_hides_no_other() -> None:
    owner, disk = Owner("HEM-7155T"), Disk()
    owner.measure(30, user=1)
    fetched(owner, disk)
    known = len(owner.measured)
    owner.measure(6, user=1)
    for place in (10, 20, 32):
        owner.memory.write(owner.map.users[0] + 16 * place, bytes([0x40, 0x80]))
    missing = owner.results()[32]
    expected = [result for result in owner.results(known) if result != missing]
    assert results(fetched(owner, disk)) == expected
    assert fetched(owner, disk).samples == []


def test_a_memory_that_was_cleared_is_fetched_from_its_new_beginning() -> None:
    owner, disk = Owner("HEM-7600T"), Disk()
    owner.measure(40)
    fetched(owner, disk)
    owner.memory = Memory(owner.model)
    known = len(owner.measured)
    owner.measure(3)
    assert results(fetched(owner, disk)) == owner.results(known)


def test_the_session_is_begun_and_ended_and_nothing_is_written() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(3)
    link = fetched(owner, disk)
    # 01 and the key unlock; then a start, reads, and the end.
    unlock, start, *reads, end = link.asked
    assert unlock == b"\x01" + KEY
    assert start.hex() == "0800000000100018"
    assert end.hex() == "080f000000000007"
    assert {decode_memory(frame).name for frame in reads} == {"read"}


def test_a_model_that_healthd_does_not_know_is_left_alone() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    assert omron.PROFILE.opening is not None
    link = owner.link(disk)
    with pytest.raises(ExchangeRefused, match="HEM-6320T"):
        link.run(omron.PROFILE.opening.exchange(options("HEM-6320T", disk.records, KEY)))
    assert link.asked == []


def test_a_cuff_that_ends_the_session_by_itself_is_refused() -> None:
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(3)
    link = owner.link(disk)
    dialogue = owner.fetch(disk)

    def begin_again(number: int) -> bool:
        if number == 3:
            link.cuff.begin_link()
            link.cuff.unlock(b"\x01" + KEY)
        return False

    link.loses = begin_again
    with pytest.raises(ExchangeRefused, match="error 1"):
        link.run(dialogue)


def test_a_late_answer_to_another_request_is_no_record() -> None:
    # It was asked for to find the first new record: published now, it would hide older ones.
    owner, disk = Owner("HEM-7361T"), Disk()
    owner.measure(2, user=1)
    cuff = Cuff(owner.memory, key=KEY)
    cuff.unlock(b"\x01" + KEY)
    cuff.answer(frames.start())
    state = CuffState(options(owner.model, disk.records))
    disk.records.enter_series(owner.model)

    def take(frame: bytes | None) -> list[Timed]:
        assert frame is not None
        return list(state.take(decode_memory(frame), 0))

    asked, other = frames.read(0x0098, 16), frames.read(0x00A8, 16)
    assert take(frames.start()) == take(asked) == take(cuff.answer(other)) == []
    assert list(state.held) == []
    assert take(cuff.answer(asked)) == []
    [held] = state.held
    assert isinstance(held.measurement, BloodPressure)
    assert held.measurement.device_time == owner.measured[0][1].at.isoformat()
    assert take(frames.end()) == [held]
