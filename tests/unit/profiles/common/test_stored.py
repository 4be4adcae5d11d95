"""Stored results: fetched from the last known one on; the newest is published as live."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.common.racp import by_number, decode_record_access
from healthd.profiles.common.stored import Transfer, fetch_all, fetch_new
from healthd.profiles.dialogue import Exchange, ExchangeRefused
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.samples import Measurement, Record

ALL = b"\x01\x01"
DONE, NONE, NO_OPERATOR, UNFINISHED = (
    bytes.fromhex(answer) for answer in ("06000101", "06000106", "06000104", "06000108")
)


class Result(Measurement):
    kind: ClassVar[str] = "result"


class Note(Measurement):
    kind: ClassVar[str] = "note"


def stored(number: int, of: type[Measurement] = Result, made: str = "") -> Timed:
    return Timed(of(), number, Record("", number, made))


def published(transfer: Transfer, message: bytes) -> list[tuple[int, bool]]:
    found = transfer.on_message(decode_record_access(message))
    return [(timed.mono_ns, timed.stored) for timed in found]


def released(transfer: Transfer, timed: Timed) -> list[tuple[int, bool]]:
    return [(each.mono_ns, each.stored) for each in transfer.add(timed)]


# Stored and live results


def test_a_result_without_a_request_is_live() -> None:
    assert released(Transfer(), stored(1)) == [(1, False)]


def test_the_newest_requested_result_is_live_after_all_have_arrived() -> None:
    transfer = Transfer()
    assert published(transfer, ALL) == []
    assert released(transfer, stored(1)) == []
    assert released(transfer, stored(2)) == [(1, True)]
    assert released(transfer, stored(3)) == [(2, True)]
    assert published(transfer, DONE) == [(3, False)]
    assert released(transfer, stored(4)) == [(4, False)]


def test_the_newest_result_has_the_highest_number() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    found = [released(transfer, stored(number)) for number in (2, 3, 1)]
    assert found == [[], [(2, True)], [(1, True)]]
    assert published(transfer, DONE) == [(3, False)]


def test_a_result_sent_live_and_from_the_memory_is_live() -> None:
    """A monitor makes a reading during a transfer, and then sends it again with the others."""
    transfer = Transfer()
    published(transfer, ALL)
    found = [released(transfer, stored(number)) for number in (1, 3, 2, 3)]
    assert found == [[], [(1, True)], [(2, True)], []]
    assert published(transfer, DONE) == [(3, False)]


def test_each_kind_has_its_own_newest_result() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    for timed in (stored(1), stored(1, Note), stored(2)):
        transfer.add(timed)
    assert published(transfer, DONE) == [(2, False), (1, False)]


def test_a_result_without_a_record_is_live() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    assert released(transfer, Timed(Result(), 7)) == [(7, False)]


@pytest.mark.parametrize("end", ["06000301", "06000108", "0600ff02", "08000200"])
def test_any_end_of_the_transfer_releases_the_newest(end: str) -> None:
    """Aborted, not completed, refused, and the response to a combined report."""
    transfer = Transfer()
    published(transfer, ALL)
    transfer.add(stored(1))
    assert published(transfer, bytes.fromhex(end)) == [(1, False)]


def test_the_end_of_the_link_releases_the_newest() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    transfer.add(stored(1))
    assert [timed.mono_ns for timed in transfer.end()] == [1]
    assert list(transfer.end()) == []


# Requests


@dataclass
class Meter:
    """A device with a memory that answers an exchange; the records it sends are added to ours.

    Attributes:
        held: number and time of each record, in the order in which they are sent.
        selects: whether it can select records by number.
        breaks_after: the number of records that are sent before it fails; None: all.
        asked: the requests that it received.
    """

    held: list[tuple[int, str]]
    selects: bool = True
    breaks_after: int | None = None
    asked: list[bytes] = field(default_factory=list[bytes])

    def answers(self, exchange: Exchange, records: Records) -> list[int]:
        """Return the numbers of the new records, in the order in which they arrived."""
        new: list[int] = []
        try:
            request = next(exchange)
            while True:
                self.asked.append(request)
                request = exchange.send(self._answer(request, records, new))
        except StopIteration:
            return new

    def _answer(self, request: bytes, records: Records, new: list[int]) -> bytes:
        asked = decode_record_access(request)
        if asked.operator != "all" and not self.selects:
            return NO_OPERATOR
        selected = [record for record in self.held if record[0] >= (asked.minimum or 0)]
        for number, made in selected[: self.breaks_after]:
            if records.add_if_new("result", Record("", number, made)):
                new.append(number)
        if self.breaks_after is not None and self.breaks_after < len(selected):
            return UNFINISHED
        return DONE if selected else NONE


def fresh() -> Records:
    return Records()


def fetched(meter: Meter, records: Records) -> list[int]:
    records.enter_series("")
    new = fetch_new(records, lambda record: by_number(minimum=record.number))
    return meter.answers(new, records)


def test_all_records_are_requested_once_and_then_only_new_ones() -> None:
    meter, records = Meter([(1, "a"), (2, "b")]), fresh()
    assert fetched(meter, records) == [1, 2]
    meter.held.append((3, "c"))
    assert fetched(meter, records) == [3]
    assert fetched(meter, records) == []
    assert meter.asked == [ALL, b"\x01\x03\x01\x02\x00", *[b"\x01\x03\x01\x03\x00"]]


def test_an_empty_memory() -> None:
    meter, records = Meter([]), fresh()
    assert fetched(meter, records) == []
    assert meter.asked == [ALL]


def test_after_an_incomplete_transfer_only_missing_records_are_new() -> None:
    meter, records = Meter([(n, str(n)) for n in range(1, 9)], breaks_after=3), fresh()
    with pytest.raises(ExchangeRefused, match="found procedure_not_completed"):
        fetched(meter, records)
    meter.breaks_after = None
    assert fetched(meter, records) == [4, 5, 6, 7, 8]


def test_records_out_of_order_in_an_incomplete_transfer_lose_none() -> None:
    meter, records = Meter([(1, "a"), (4, "d"), (2, "b"), (3, "c")], breaks_after=2), fresh()
    with pytest.raises(ExchangeRefused):
        fetched(meter, records)
    meter.breaks_after = None
    assert fetched(meter, records) == [2, 3]


def test_a_device_that_cannot_select_is_asked_for_all_records() -> None:
    meter, records = Meter([(1, "a"), (2, "b")], selects=False), fresh()
    assert fetched(meter, records) == [1, 2]
    meter.held.append((3, "c"))
    assert fetched(meter, records) == [3]
    assert meter.asked[1:] == [b"\x01\x03\x01\x02\x00", ALL]


@pytest.mark.parametrize(
    "held",
    [
        [(1, "m"), (2, "n")],  # the numbers restarted, the clock did not
        [(1, "A"), (2, "B")],  # both restarted
        [(1, "A"), (2, "B"), (3, "C"), (4, "D")],  # both restarted, and there are more records
    ],
)
def test_after_the_memory_was_cleared_all_records_are_new(held: list[tuple[int, str]]) -> None:
    meter, records = Meter([(1, "a"), (2, "b"), (3, "c")]), fresh()
    fetched(meter, records)
    meter.held = held
    new = fetched(meter, records)
    assert sorted(new) == [number for number, _ in held]
    assert fetched(meter, records) == []


def test_a_device_that_lost_only_its_newest_record_is_read_again() -> None:
    meter, records = Meter([(1, "a"), (2, "b")]), fresh()
    fetched(meter, records)
    meter.held.pop()
    assert fetched(meter, records) == [1]


def test_an_off_by_one_in_the_selection_fetches_nothing_twice() -> None:
    """The device takes ``from 2 on`` for ``after 2``."""

    class Greater(Meter):
        def _answer(self, request: bytes, records: Records, new: list[int]) -> bytes:
            if decode_record_access(request).minimum is not None:
                return NONE
            return super()._answer(request, records, new)

    meter, records = Greater([(1, "a"), (2, "b")]), fresh()
    assert fetched(meter, records) == [1, 2]
    assert fetched(meter, records) == []
    assert meter.asked[-1] == ALL


def test_records_without_numbers_are_distinguished_by_their_contents() -> None:
    meter, records = Meter([(0, "a"), (0, "b")]), fresh()
    for new in ([0, 0], [], [0]):
        records.enter_series("")
        assert meter.answers(fetch_all(records), records) == new
        if not new:
            meter.held.append((0, "c"))


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 9)), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_each_record_is_new_once_whatever_transfer_fails(
    rounds: list[tuple[int, int | None, bool]],
) -> None:
    """Each round adds records, and transfers them in either order until it may break off."""
    seen: list[int] = []

    class Published(Records):
        def add_if_new(self, stream: str, record: Record) -> bool:
            is_new = super().add_if_new(stream, record)
            seen.extend([record.number] * is_new)
            return is_new

    meter, records = Meter([]), Published()
    for more, breaks_after, backwards in rounds:
        first = len(meter.held) + 1
        meter.held = sorted(meter.held) + [(n, f"{n:03}") for n in range(first, first + more)]
        if backwards:
            meter.held.reverse()
        meter.breaks_after = breaks_after
        try:
            fetched(meter, records)
        except ExchangeRefused:
            assert breaks_after is not None
    meter.breaks_after = None
    fetched(meter, records)
    assert sorted(seen) == list(range(1, len(meter.held) + 1))
