"""How much of each file is known: what is new, what is forgotten, and what stays on the disk."""

from collections.abc import Collection

from healthd.profiles.known_files import LIMIT, KnownFiles
from healthd.profiles.records import Records
from healthd.samples import Record


class Disk:
    """Stands for the disk: a record is noted with its sample, and deleted when it is forgotten."""

    def __init__(self) -> None:
        self.rows: list[Record] = []

    def forget(self, gone: Collection[Record]) -> None:
        self.rows = [row for row in self.rows if row not in gone]

    def files(self) -> KnownFiles:
        return KnownFiles(self.rows, self.forget)

    def add(self, files: KnownFiles, name: str, number: int) -> bool:
        record = Record(name, number, f"made {number}")
        self.rows.append(record)
        if is_new := files.add_if_new(record):
            return is_new
        self.rows.remove(record)
        return is_new


def test_records_in_order_are_new_once() -> None:
    files = KnownFiles()
    assert files.count("night") == 0
    assert [files.add_if_new(Record("night", number, "")) for number in (0, 1, 2)] == [True] * 3
    assert [files.add_if_new(Record("night", number, "")) for number in (0, 1, 2, 3)] == [
        False,
        False,
        False,
        True,
    ]
    assert files.count("night") == 4


def test_files_are_apart() -> None:
    files = KnownFiles()
    assert files.add_if_new(Record("one", 5, ""))
    assert files.add_if_new(Record("two", 0, ""))
    assert (files.count("one"), files.count("two")) == (6, 1)


def test_whatever_is_left_on_the_disk_the_newest_record_counts() -> None:
    rows = [Record("one", 7, ""), Record("two", 3, ""), Record("one", 9, ""), Record("one", 8, "")]
    files = KnownFiles(rows)
    assert (files.count("one"), files.count("two")) == (10, 4)


def test_a_long_file_leaves_few_records_on_the_disk() -> None:
    disk = Disk()
    files, most = disk.files(), 0
    for number in range(5000):
        assert disk.add(files, "night", number)
        most = max(most, len(disk.rows))
    assert most <= 100
    assert Record("night", 4999, "made 4999") in disk.rows
    # Also those of a run that was killed.
    again = disk.files()
    for number in range(5000, 5100):
        assert disk.add(again, "night", number)
    assert len(disk.rows) <= 100


def test_of_files_without_end_the_one_that_was_begun_first_is_forgotten() -> None:
    disk = Disk()
    files = disk.files()
    for number in range(LIMIT + 200):
        assert disk.add(files, f"night {number}", 0)
    assert files.count("night 0") == 0
    assert files.count(f"night {LIMIT + 199}") == 1
    assert len(disk.rows) <= LIMIT + 100


def test_a_complete_transfer_of_others_does_not_forget_files() -> None:
    kept: list[object] = []
    records = Records(lambda gone, _: kept.extend(gone))
    records.inherit({("night", Record("one", 3, "")): False, ("other", Record("", 1, "")): True})
    files = records.files("night")
    records.begin()
    assert records.add_if_new("other", Record("", 2, ""))
    records.complete()
    assert kept == [("other", Record("", 1, ""))]
    assert files.count("one") == 4
    assert not records.add_if_new("night", Record("one", 3, ""))
    assert records.add_if_new("night", Record("one", 4, ""))
    records.inherit({("night", Record("one", 9, "")): False})
    assert records.files("night").count("one") == 10
