"""Which records were taken: what is kept of it, over runs, and what is given up."""

from collections.abc import Collection, Mapping

from healthd.profiles.records import Records
from healthd.samples import Record, Taken


class Kept:
    """What would be on disk: notes with each sample, and what was settled."""

    def __init__(self) -> None:
        self.rows: dict[Taken, bool] = {}
        self.settled = 0

    def settle(self, gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
        self.settled += 1
        for one in gone:
            self.rows.pop(one, None)
        self.rows.update(whole)

    def records(self) -> Records:
        records = Records(self.settle)
        records.inherit(self.rows)
        records.enter("")
        return records

    def take(self, records: Records, number: int, made: str = "", stream: str = "result") -> bool:
        """As the pipeline does: what is new becomes a sample, noted with it."""
        record = Record(records.series, number, made)
        is_new = records.add_if_new(stream, record)
        if is_new:
            self.rows.setdefault((stream, record), False)
        return is_new

    def transfer(self, records: Records, *numbers: int) -> list[int]:
        records.begin()
        new = [number for number in numbers if self.take(records, number)]
        records.complete()
        return new


def test_a_record_is_new_once() -> None:
    kept = Kept()
    records = kept.records()
    assert [kept.take(records, 5) for _ in range(3)] == [True, False, False]
    assert not kept.take(kept.records(), 5)


def test_only_the_newest_of_a_complete_transfer_is_kept() -> None:
    kept = Kept()
    assert kept.transfer(kept.records(), 1, 2, 3) == [1, 2, 3]
    assert kept.rows == {("result", Record("", 3, "")): True}
    again = kept.records()
    assert again.since() == Record("", 3, "")
    assert kept.transfer(again, 1, 2, 3, 4) == [4]
    assert list(kept.rows) == [("result", Record("", 4, ""))]


def test_of_a_transfer_that_broke_off_each_one_is_kept() -> None:
    kept = Kept()
    kept.transfer(kept.records(), 1)
    records = kept.records()
    records.begin()
    for number in (1, 2, 3):
        kept.take(records, number)
    assert kept.records().since() == Record("", 1, "")
    assert [kept.take(kept.records(), number) for number in (2, 3, 4)] == [False, False, True]


def test_a_complete_transfer_without_news_writes_nothing() -> None:
    kept = Kept()
    kept.transfer(kept.records(), 1, 2)
    before = kept.settled
    records = kept.records()
    kept.transfer(records, 2)
    records.begin()
    records.complete()
    assert kept.settled == before


def test_what_comes_by_itself_behind_a_complete_transfer_goes_on_from_there() -> None:
    kept = Kept()
    records = kept.records()
    kept.transfer(records, 1, 2)
    assert [kept.take(records, number) for number in (3, 4)] == [True, True]
    assert kept.rows == {("result", Record("", 4, "")): True}
    assert kept.records().since() == Record("", 4, "")


def test_on_the_next_link_something_may_be_missing_in_between() -> None:
    kept = Kept()
    records = kept.records()
    kept.transfer(records, 1, 2)
    records.enter("")
    kept.take(records, 9)
    assert records.since() == Record("", 2, "")
    assert kept.transfer(records, *range(2, 10)) == [3, 4, 5, 6, 7, 8]


def test_kinds_that_share_a_number_are_two() -> None:
    kept = Kept()
    records = kept.records()
    records.begin()
    assert kept.take(records, 1)
    assert kept.take(records, 1, stream="note")
    records.complete()
    assert kept.rows == {
        ("result", Record("", 1, "")): True,
        ("note", Record("", 1, "")): True,
    }


def test_a_series_has_numbers_of_its_own() -> None:
    kept = Kept()
    records = kept.records()
    records.enter("monday")
    kept.transfer(records, 10, 20)
    records.enter("tuesday")
    assert records.since() is None
    assert kept.transfer(records, 5) == [5]
    assert list(kept.rows) == [("result", Record("tuesday", 5, ""))]


def test_what_was_made_later_is_not_older_whatever_its_number() -> None:
    kept = Kept()
    records = kept.records()
    records.begin()
    kept.take(records, 7, "2026-11-24")
    records.complete()
    assert not kept.take(records, 3, "2026-11-20")
    assert kept.take(records, 3, "2026-11-25")


def test_a_memory_that_was_cleared_is_forgotten_but_for_what_has_just_come() -> None:
    kept = Kept()
    kept.transfer(kept.records(), 1, 2, 3)
    records = kept.records()
    records.begin()
    kept.take(records, 4, "new")
    records.forget()
    assert records.since() is None
    assert [kept.take(records, number) for number in (1, 2, 3)] == [True, True, True]
    assert not kept.take(records, 4, "new")
    assert not kept.take(kept.records(), 4, "new")
