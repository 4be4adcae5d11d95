"""Stored results: asked for from the last one on, the newest of them published as live."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.characteristic import Exchange, ExchangeRefused, Timed
from healthd.profiles.common.racp import by_number, decode_record_access
from healthd.profiles.common.stored import Transfer, fetch_all, fetch_new
from healthd.profiles.records import Records
from healthd.samples import Measurement, Record

ALL = b"\x01\x01"
DONE, NONE, NO_OPERATOR, UNFINISHED = (
    bytes.fromhex(one) for one in ("06000101", "06000106", "06000104", "06000108")
)


class Result(Measurement):
    kind: ClassVar[str] = "result"


class Note(Measurement):
    kind: ClassVar[str] = "note"


def stored(number: int, of: type[Measurement] = Result, made: str = "") -> Timed:
    return Timed(of(), number, Record("", number, made))


def published(transfer: Transfer, message: bytes) -> list[tuple[int, bool]]:
    heard = transfer.hear(decode_record_access(message))
    return [(one.mono_ns, one.stored) for one in heard]


def taken(transfer: Transfer, timed: Timed) -> list[tuple[int, bool]]:
    return [(one.mono_ns, one.stored) for one in transfer.take(timed)]


# What is history and what is news


def test_what_was_not_asked_for_is_live() -> None:
    assert taken(Transfer(), stored(1)) == [(1, False)]


def test_the_newest_of_what_was_asked_for_is_live_when_all_have_come() -> None:
    transfer = Transfer()
    assert published(transfer, ALL) == []
    assert taken(transfer, stored(1)) == []
    assert taken(transfer, stored(2)) == [(1, True)]
    assert taken(transfer, stored(3)) == [(2, True)]
    assert published(transfer, DONE) == [(3, False)]
    assert taken(transfer, stored(4)) == [(4, False)]


def test_the_newest_is_the_one_with_the_highest_number() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    came = [taken(transfer, stored(number)) for number in (2, 3, 1)]
    assert came == [[], [(2, True)], [(1, True)]]
    assert published(transfer, DONE) == [(3, False)]


def test_one_that_comes_live_and_from_the_memory_is_live() -> None:
    """A monitor takes a reading in the middle of a transfer, and sends it with the others again."""
    transfer = Transfer()
    published(transfer, ALL)
    came = [taken(transfer, stored(number)) for number in (1, 3, 2, 3)]
    assert came == [[], [(1, True)], [(2, True)], []]
    assert published(transfer, DONE) == [(3, False)]


def test_each_kind_has_its_newest() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    for one in (stored(1), stored(1, Note), stored(2)):
        transfer.take(one)
    assert published(transfer, DONE) == [(2, False), (1, False)]


def test_what_has_no_place_in_the_memory_is_live() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    assert taken(transfer, Timed(Result(), 7)) == [(7, False)]


@pytest.mark.parametrize("end", ["06000301", "06000108", "0600ff02", "08000200"])
def test_any_end_of_the_transfer_releases_the_newest(end: str) -> None:
    """Aborted, not completed, refused, counted."""
    transfer = Transfer()
    published(transfer, ALL)
    transfer.take(stored(1))
    assert published(transfer, bytes.fromhex(end)) == [(1, False)]


def test_a_link_that_ends_releases_the_newest() -> None:
    transfer = Transfer()
    published(transfer, ALL)
    transfer.take(stored(1))
    assert [one.mono_ns for one in transfer.end()] == [1]
    assert list(transfer.end()) == []


# What is asked for


@dataclass
class Meter:
    """A device with a memory, asked by an exchange; what it sends goes to ``records`` like ours.

    Attributes:
        held: number and time of each of its records, in the order in which they are sent.
        choose: the operators that it knows.
        breaks_after: so many records are sent, and then it says that it could not complete.
    """

    held: list[tuple[int, str]]
    chooses: bool = True
    breaks_after: int | None = None
    asked: list[bytes] = field(default_factory=list[bytes])

    def answers(self, exchange: Exchange, records: Records) -> list[int]:
        """The numbers of the records that were new, in the order in which they came."""
        new: list[int] = []
        try:
            request = next(exchange)
            while True:
                self.asked.append(request)
                request = exchange.send(self._answer(request, records, new))
        except StopIteration:
            return new

    def _answer(self, request: bytes, records: Records, new: list[int]) -> bytes:
        said = decode_record_access(request)
        if said.operator != "all" and not self.chooses:
            return NO_OPERATOR
        chosen = [one for one in self.held if one[0] >= (said.minimum or 0)]
        for number, made in chosen[: self.breaks_after]:
            if records.add_if_new("result", Record("", number, made)):
                new.append(number)
        if self.breaks_after is not None and self.breaks_after < len(chosen):
            return UNFINISHED
        return DONE if chosen else NONE


def fresh() -> Records:
    return Records()


def fetched(meter: Meter, records: Records) -> list[int]:
    records.enter("")
    new = fetch_new(records, lambda record: by_number(minimum=record.number))
    return meter.answers(new, records)


def test_everything_is_asked_for_once_and_then_what_is_new() -> None:
    meter, records = Meter([(1, "a"), (2, "b")]), fresh()
    assert fetched(meter, records) == [1, 2]
    meter.held.append((3, "c"))
    assert fetched(meter, records) == [3]
    assert fetched(meter, records) == []
    assert meter.asked == [ALL, b"\x01\x03\x01\x02\x00", *[b"\x01\x03\x01\x03\x00"]]


def test_nothing_is_there() -> None:
    meter, records = Meter([]), fresh()
    assert fetched(meter, records) == []
    assert meter.asked == [ALL]


def test_a_transfer_that_breaks_off_is_begun_again_where_the_last_complete_one_ended() -> None:
    meter, records = Meter([(n, str(n)) for n in range(1, 9)], breaks_after=3), fresh()
    with pytest.raises(ExchangeRefused, match="found procedure_not_completed"):
        fetched(meter, records)
    meter.breaks_after = None
    assert fetched(meter, records) == [4, 5, 6, 7, 8]


def test_records_that_came_out_of_order_before_it_broke_off_are_not_missed() -> None:
    meter, records = Meter([(1, "a"), (4, "d"), (2, "b"), (3, "c")], breaks_after=2), fresh()
    with pytest.raises(ExchangeRefused):
        fetched(meter, records)
    meter.breaks_after = None
    assert fetched(meter, records) == [2, 3]


def test_one_that_cannot_choose_is_asked_for_everything() -> None:
    meter, records = Meter([(1, "a"), (2, "b")], chooses=False), fresh()
    assert fetched(meter, records) == [1, 2]
    meter.held.append((3, "c"))
    assert fetched(meter, records) == [3]
    assert meter.asked[1:] == [b"\x01\x03\x01\x02\x00", ALL]


@pytest.mark.parametrize(
    "held",
    [
        [(1, "m"), (2, "n")],  # its clock went on, its numbers began anew
        [(1, "A"), (2, "B")],  # so did its clock
        [(1, "A"), (2, "B"), (3, "C"), (4, "D")],  # and it has measured more often since
    ],
)
def test_a_memory_that_was_cleared_is_all_new(held: list[tuple[int, str]]) -> None:
    meter, records = Meter([(1, "a"), (2, "b"), (3, "c")]), fresh()
    fetched(meter, records)
    meter.held = held
    new = fetched(meter, records)
    assert sorted(new) == [number for number, _ in held]
    assert fetched(meter, records) == []


def test_one_that_lost_only_its_newest_is_read_again_rather_than_missed() -> None:
    meter, records = Meter([(1, "a"), (2, "b")]), fresh()
    fetched(meter, records)
    meter.held.pop()
    assert fetched(meter, records) == [1]


def test_an_off_by_one_in_choosing_fetches_nothing_twice() -> None:
    """``from 2 on`` that means ``behind 2`` for the device."""

    class Greater(Meter):
        def _answer(self, request: bytes, records: Records, new: list[int]) -> bytes:
            if decode_record_access(request).minimum is not None:
                return NONE
            return super()._answer(request, records, new)

    meter, records = Greater([(1, "a"), (2, "b")]), fresh()
    assert fetched(meter, records) == [1, 2]
    assert fetched(meter, records) == []
    assert meter.asked[-1] == ALL


def test_those_without_numbers_are_told_apart_by_what_they_are() -> None:
    meter, records = Meter([(0, "a"), (0, "b")]), fresh()
    for new in ([0, 0], [], [0]):
        records.enter("")
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
def test_whatever_breaks_off_every_record_is_new_once(
    rounds: list[tuple[int, int | None, bool]],
) -> None:
    """Rounds of measuring some more, and a transfer that may break off, in either order."""
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
