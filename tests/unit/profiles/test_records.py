"""Which records were fetched: what is remembered across runs, and what is forgotten."""

from collections.abc import Collection, Mapping

from healthd.profiles.records import Records
from healthd.samples import Record, Taken


class Store:
    """Stands for the disk: the records stored with samples, and the settled changes."""

    def __init__(self) -> None:
        self.rows: dict[Taken, bool] = {}
        self.settled = 0

    def settle(self, gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
        self.settled += 1
        for taken in gone:
            self.rows.pop(taken, None)
        self.rows.update(whole)

    def records(self) -> Records:
        records = Records(self.settle)
        records.inherit(self.rows)
        records.enter_series("")
        return records

    def add(self, records: Records, number: int, made: str = "", stream: str = "result") -> bool:
        """Add a record like the reader: a new one becomes a sample and is stored with it."""
        record = Record(records.series, number, made)
        is_new = records.add_if_new(stream, record)
        if is_new:
            self.rows.setdefault((stream, record), False)
        return is_new

    def transfer(self, records: Records, *numbers: int) -> list[int]:
        records.begin()
        new = [number for number in numbers if self.add(records, number)]
        records.complete()
        return new


def test_a_record_is_new_once() -> None:
    store = Store()
    records = store.records()
    assert [store.add(records, 5) for _ in range(3)] == [True, False, False]
    assert not store.add(store.records(), 5)


def test_only_the_newest_record_of_a_complete_transfer_is_remembered() -> None:
    store = Store()
    assert store.transfer(store.records(), 1, 2, 3) == [1, 2, 3]
    assert store.rows == {("result", Record("", 3, "")): True}
    again = store.records()
    assert again.since() == Record("", 3, "")
    assert store.transfer(again, 1, 2, 3, 4) == [4]
    assert list(store.rows) == [("result", Record("", 4, ""))]


def test_every_record_of_an_incomplete_transfer_is_remembered() -> None:
    store = Store()
    store.transfer(store.records(), 1)
    records = store.records()
    records.begin()
    for number in (1, 2, 3):
        store.add(records, number)
    assert store.records().since() == Record("", 1, "")
    assert [store.add(store.records(), number) for number in (2, 3, 4)] == [False, False, True]


def test_a_complete_transfer_without_new_records_writes_nothing() -> None:
    store = Store()
    store.transfer(store.records(), 1, 2)
    before = store.settled
    records = store.records()
    store.transfer(records, 2)
    records.begin()
    records.complete()
    assert store.settled == before


def test_live_records_after_a_complete_transfer_advance_it() -> None:
    store = Store()
    records = store.records()
    store.transfer(records, 1, 2)
    assert [store.add(records, number) for number in (3, 4)] == [True, True]
    assert store.rows == {("result", Record("", 4, "")): True}
    assert store.records().since() == Record("", 4, "")


def test_after_a_new_link_records_before_a_live_one_are_fetched() -> None:
    store = Store()
    records = store.records()
    store.transfer(records, 1, 2)
    records.enter_series("")
    store.add(records, 9)
    assert records.since() == Record("", 2, "")
    assert store.transfer(records, *range(2, 10)) == [3, 4, 5, 6, 7, 8]


def test_two_kinds_with_the_same_number_are_two_records() -> None:
    store = Store()
    records = store.records()
    records.begin()
    assert store.add(records, 1)
    assert store.add(records, 1, stream="note")
    records.complete()
    assert store.rows == {
        ("result", Record("", 1, "")): True,
        ("note", Record("", 1, "")): True,
    }


def test_each_series_has_its_own_numbers() -> None:
    store = Store()
    records = store.records()
    records.enter_series("monday")
    store.transfer(records, 10, 20)
    records.enter_series("tuesday")
    assert records.since() is None
    assert store.transfer(records, 5) == [5]
    assert list(store.rows) == [("result", Record("tuesday", 5, ""))]


def test_a_record_made_later_is_new_even_if_its_number_is_lower() -> None:
    store = Store()
    records = store.records()
    records.begin()
    store.add(records, 7, "2026-11-24")
    records.complete()
    assert not store.add(records, 3, "2026-11-20")
    assert store.add(records, 3, "2026-11-25")


def test_after_the_memory_was_cleared_only_records_just_sent_are_known() -> None:
    store = Store()
    store.transfer(store.records(), 1, 2, 3)
    records = store.records()
    records.begin()
    store.add(records, 4, "new")
    records.forget()
    assert records.since() is None
    assert [store.add(records, number) for number in (1, 2, 3)] == [True, True, True]
    assert not store.add(records, 4, "new")
    assert not store.add(store.records(), 4, "new")
