"""Which records were fetched: what is remembered across runs, and what is forgotten."""

from collections.abc import Collection, Mapping

from healthd.profiles.records import Records
from healthd.samples import MOST_RECORDS, Record, Taken


class Store:
    """Stands for the disk: the records stored with samples, and the settled changes."""

    def __init__(self) -> None:
        self.rows: dict[Taken, bool] = {}
        self.settled = 0
        self.full = 0

    def on_full(self) -> None:
        self.full += 1

    def settle(self, gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
        self.settled += 1
        for taken in gone:
            self.rows.pop(taken, None)
        self.rows.update(whole)

    def records(self, most: int = MOST_RECORDS) -> Records:
        records = Records(self.settle, self.on_full, most)
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


def test_of_records_without_end_the_oldest_are_forgotten() -> None:
    """D5: a glucose meter that sends records forever."""
    store, most = Store(), 64
    store.transfer(store.records(most), 1)
    records = store.records(most)
    records.begin()
    for number in range(2, 1000):
        assert store.add(records, number, "noon")
    assert store.full == 1
    # The mark is kept, and the newest of the others.
    assert records.since() == Record("", 1, "")
    # From the newest one back, until the first one that is new again.
    backwards = (records.add_if_new("result", Record("", at, "noon")) for at in range(999, 0, -1))
    known = next(count for count, is_new in enumerate(backwards) if is_new)
    assert most - most // 16 - 1 <= known < most


def test_a_transfer_of_more_than_is_remembered_can_be_complete() -> None:
    store, most = Store(), 64
    for order in (range(1, 500), range(999, 500, -1)):
        records = store.records(most)
        records.begin()
        new = [number for number in order if store.add(records, number)]
        assert new == list(order)
        records.complete()
        assert store.records().since() == Record("", max(order), "")


def test_the_mark_counts_as_arrived_although_many_records_followed() -> None:
    store, most = Store(), 64
    store.transfer(store.records(most), 7)
    records = store.records(most)
    since = records.since()
    assert since is not None
    records.begin()
    assert not records.has_arrived(since)
    for number in range(7, 500):
        store.add(records, number)
    assert records.has_arrived(since)


def test_a_cleared_memory_with_more_than_is_remembered_loses_nothing() -> None:
    store, most = Store(), 64
    store.transfer(store.records(most), 300)
    records = store.records(most)
    records.begin()
    first = [number for number in range(1, 200) if store.add(records, number, "new")]
    records.forget()
    records.begin()
    again = [number for number in range(1, 200) if store.add(records, number, "new")]
    records.complete()
    assert set(first) | set(again) == set(range(1, 200))
    assert records.since() == Record("", 199, "new")


def test_many_records_with_one_number_are_bounded_too() -> None:
    store, most = Store(), 64
    records = store.records(most)
    store.transfer(records, 5)
    for made in range(1000):
        store.add(records, 5, f"{made:04}")
    assert records.since() == Record("", 5, "0999")
