"""Fetches the new records of a cuff, oldest first, and makes results of them.

The records of a user are a ring, and the index says where the next one will be written. What
healthd has fetched is always the oldest part of the ring, because it reads in that order and
remembers each result. So it looks for the first result that it does not know by halving, one read
for each step, and reads everything from there on. An interrupted transfer continues where it ended.

The index also counts the records that were not read. Every app resets that counter, so healthd
neither trusts nor changes it. Apart from the session's commands it writes nothing: no counter, no
clock, no record.
"""

from collections.abc import Callable, Generator, Iterable, Iterator

from healthd.profiles.blood_pressure import BloodPressure
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, Request
from healthd.profiles.known_results import KnownResults
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.vendor.omron import frames
from healthd.profiles.vendor.omron.frames import MemoryMessage, decode_memory
from healthd.profiles.vendor.omron.layouts import LAYOUTS, Layout, find_layout
from healthd.profiles.vendor.omron.records import KIND, is_empty, read_record
from healthd.samples import Measurement

# Two bytes for each of two users: where the next record will be written. Only the lower byte is a
# number; of the others, 0x8000 is set until a ring has been filled for the first time.
_INDEX_BYTES, _CURSOR_BYTES, _CURSOR = 8, 2, 0xFF

# Halving reads few of a user's records, but has to know them all while others measure often. Those
# that it reads count as added last, so a ring alone would leave some of the others out.
_KEPT_RINGS = 2

Read = Generator[bytes | Request, bytes, bytes]


def fetch(
    layouts: Iterable[Layout], open_memory: Callable[[Options], Dialogue]
) -> Callable[[Options], Dialogue]:
    """Return the dialogue that fetches what is new.

    Args:
        layouts: the layouts of the cuff's stack.
        open_memory: makes the requests before the session.
    """
    known = tuple(layouts)

    def dialogue(options: Options) -> Dialogue:
        layout = find_layout(known, options.device)
        yield from open_memory(options)
        opened = decode_memory((yield frames.start()))
        if opened.name != "start_response":
            raise ExchangeRefused(f"start: expected 0x8000, found 0x{opened.opcode:04x}")
        yield from _Transfer(layout, options).run()
        ended = decode_memory((yield frames.end()))
        if ended.error_code:
            raise ExchangeRefused(f"end: the cuff reports error {ended.error_code}")

    return dialogue


class _Transfer:
    """Reads the records of all users in one session."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self._layout = layout
        self._records = options.records
        self._results: KnownResults = options.records.results(KIND.model.kind)

    def run(self) -> Dialogue:
        """Make the requests.

        Raises:
            ExchangeRefused: the cuff does not answer one of them.
        """
        layout = self._layout
        for user in range(1, len(layout.users) + 1):
            self._results.keep(user, _KEPT_RINGS * layout.records)
        self._records.enter_series("")
        index = yield from self._read(layout.index, _INDEX_BYTES)
        for user in range(1, len(layout.users) + 1):
            at = (user - 1) * _CURSOR_BYTES
            following = int.from_bytes(index[at : at + _CURSOR_BYTES], layout.order) & _CURSOR
            # Oldest first: the place that will be written next holds the oldest one.
            places = [(following + age) % layout.records for age in range(layout.records)]
            # An index that makes no sense says nothing about the order: all are read.
            is_sound = following <= layout.records
            first = (yield from self._first_new(user, places)) if is_sound else 0
            # What it reads from here on becomes samples; what it has read so far does not.
            self._records.enter_series(layout.model)
            for place, number in _blocks(places[first:], layout.at_once):
                address = layout.users[user - 1] + place * layout.record_bytes
                yield from self._read(address, number * layout.record_bytes)
            self._records.enter_series("")

    def _first_new(self, user: int, places: list[int]) -> Generator[bytes | Request, bytes, int]:
        """Return how many places, counted from the oldest, hold nothing new."""
        if not (yield from self._is_new(user, places[-1])):
            return len(places)
        least, most = 0, len(places) - 1
        while least < most:
            middle = (least + most) // 2
            if (yield from self._is_new(user, places[middle])):
                most = middle
            else:
                least = middle + 1
        return least

    def _is_new(self, user: int, place: int) -> Generator[bytes | Request, bytes, bool]:
        """Return whether there is a record that did not become a sample.

        A record that cannot be read counts as new: then more is read than necessary, not less.
        """
        layout = self._layout
        address = layout.users[user - 1] + place * layout.record_bytes
        data = yield from self._read(address, layout.record_bytes)
        if is_empty(layout, data):
            return False
        result = read_record(layout, data, user)
        record = None if result is None else KIND.identity(result)
        return record is None or not self._results.knows(record)

    def _read(self, address: int, size: int) -> Read:
        answer = decode_memory((yield frames.read(address, size)))
        if answer.data_hex is None:
            raise ExchangeRefused(f"read: the cuff reports error {answer.error_code}")
        return bytes.fromhex(answer.data_hex)


def _blocks(places: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield where to read and how many records: as many as lie next to each other."""
    at = 0
    while at < len(places):
        number = 1
        while (
            number < most
            and at + number < len(places)
            and places[at + number] == places[at] + number
        ):
            number += 1
        yield places[at], number
        at += number


class CuffState(Episodes):
    """Makes results of the records that a transfer reads; the newest one is live."""

    def __init__(self, options: Options) -> None:
        """Start without a session."""
        super().__init__(KIND, options)
        options.records.enter_series("")
        self._records = options.records
        # The address and the size of the last read.
        self._asked: tuple[int | None, int | None] | None = None

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the results in what a transfer has read, and no other message."""
        if not isinstance(measurement, MemoryMessage):
            return ()
        match measurement.name:
            case "start":
                self.begin_transfer()
            case "end":
                return self.end_transfer()
            case "read":
                self._asked = measurement.address, measurement.size
            case "read_response" if self._asked == (measurement.address, measurement.size):
                # An answer may come twice, if its request was repeated.
                self._asked = None
                return self._results(measurement, mono_ns)
            case _:
                pass
        return ()

    def _results(self, answer: MemoryMessage, mono_ns: int) -> Iterable[Timed]:
        layout, address = LAYOUTS.get(self._records.series), answer.address
        if layout is None or address is None:
            return ()
        data = bytes.fromhex(answer.data_hex or "")
        size = layout.record_bytes
        made: list[Timed] = []
        for user, begin in enumerate(layout.users, start=1):
            if begin <= address < begin + layout.records * size:
                for at in range(0, len(data) - size + 1, size):
                    result = read_record(layout, data[at : at + size], user)
                    if result is not None:
                        made += self._before_set_back(result, mono_ns)
                        made += super().take(result, mono_ns)
        return made

    def _before_set_back(self, result: BloodPressure, mono_ns: int) -> Iterable[Timed]:
        """Return what is held back, if the cuff's clock was set back before the next result.

        It would be held on as the newest, and the next ones published. If healthd was killed then,
        it would take it for known: whatever is older than a known result of the same user is.
        """
        held = self._held
        if held is None or self._judged(result, mono_ns, mono_ns).rank >= held.rank:
            return ()
        if getattr(held.made, "user_id", None) != result.user_id:
            return ()
        return [timed._replace(stored=True) for timed in self._release()]
