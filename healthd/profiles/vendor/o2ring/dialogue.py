"""What the ring is asked: live values, and the nights that were not fetched yet.

After a link begins, live values come first. Then the nights are read, the newest one first, with
live values in between. While the ring is linked, it is asked for a new night each time that it was
taken off.

A file is always read from its first block, even if a part of it was fetched on an earlier link: no
source shows that a ring can begin in the middle.
"""

from collections.abc import Generator

from healthd.errors import DecodeError
from healthd.profiles.dialogue import Dialogue, NoAnswer, Request
from healthd.profiles.known_files import KnownFiles
from healthd.profiles.options import Options
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.vendor.o2ring.framing import (
    CLOSE,
    INFO,
    OPEN,
    READ,
    REAL_TIME,
    SENSORS,
    Frame,
    parse,
    request,
)
from healthd.profiles.vendor.o2ring.live import Live, decode_live
from healthd.profiles.vendor.o2ring.nights import (
    HEADER_SIZE,
    decode_header,
    file_names,
    record_count,
)

# The data selects the rate of the pulse wave, which is not read: 0 is the app's choice.
_LIVE_REQUESTS = (request(REAL_TIME, b"\0"), request(SENSORS))

# Firmware that does not know a request may ignore it. The next one follows soon, so it is written
# only once.
_LIVE_ANSWER_S, _LIVE_TRIES = 2.0, 1

# So much of a file is read between two live values: 2 to 3 s with the smallest MTU.
_BETWEEN_LIVE = 4096

# Live values of a ring that is not worn before it is asked for a new night: it goes on recording
# for a while in case it was only moved.
_OFF_FOR = 15

_LAST_BLOCK = 0xFFFF

_Asking = Generator[bytes | Request, bytes, Frame | None]


class _LiveValues:
    """Asks for live values, by the request that the ring answers."""

    def __init__(self) -> None:
        self._request, self._other = _LIVE_REQUESTS

    def ask(self) -> Generator[bytes | Request, bytes, Live | None]:
        """Ask once; None if there was no such answer. The next time, the other request is made."""
        asked = Request(self._request, answer_s=_LIVE_ANSWER_S, tries=_LIVE_TRIES)
        answer = yield from _ask(asked)
        if answer is not None:
            try:
                return decode_live(answer.data)
            except DecodeError:
                pass
        self._request, self._other = self._other, self._request
        return None


def open_ring(options: Options) -> Dialogue:
    """Ask for live values, then for new nights."""
    values = _LiveValues()
    if (yield from values.ask()) is None:
        yield from values.ask()
    yield from _fetch_nights(options, values)


def poll_ring(options: Options) -> Dialogue:
    """Ask for live values again and again, and for a new night when the ring was taken off."""
    values = _LiveValues()
    off_for: int | None = None
    while True:
        live = yield from values.ask()
        if live is None:
            continue
        if live.worn:
            off_for = 0
        elif off_for is not None:
            off_for += 1
            if off_for == _OFF_FOR:
                off_for = None
                yield from _fetch_nights(options, values)


def _ask(asked: Request) -> _Asking:
    """Make a request; None if the ring does not answer, or refuses."""
    try:
        answer = parse((yield asked))
    except NoAnswer:
        return None
    return None if answer.code else answer


def _command(command: int, data: bytes = b"", block: int = 0) -> Request:
    """Return a request of a transfer, which need not wait for the next live values."""
    return Request(request(command, data, block), at_once=True)


def _fetch_nights(options: Options, values: _LiveValues) -> Dialogue:
    files = options.records.files(PulseOximeter.kind)
    if (information := (yield from _ask(_command(INFO)))) is None:
        return
    for name in file_names(information.data):
        # No source shows that a file stays open while live values are asked for. If it does not,
        # it is read again without them.
        whole = yield from _fetch(name, files, values, _BETWEEN_LIVE)
        if not whole:
            yield from _fetch(name, files, values, None)


def _fetch(
    name: str, files: KnownFiles, values: _LiveValues, between: int | None
) -> Generator[bytes | Request, bytes, bool]:
    """Read a file if it has new records; return whether there is nothing left to read."""
    opened = yield from _ask(_command(OPEN, name.encode() + b"\0"))
    whole = True
    if opened is not None:
        size = int.from_bytes(opened.data, "little")
        if record_count(size) > files.count(name):
            whole = yield from _read(size, values, between)
    yield from _ask(_command(CLOSE))
    return whole


def _read(
    size: int, values: _LiveValues, between: int | None
) -> Generator[bytes | Request, bytes, bool]:
    """Read the open file; return whether there is nothing left to read."""
    head, block, left, until_live = b"", 0, size, between
    while left > 0 and block <= _LAST_BLOCK:
        answer = yield from _ask(_command(READ, block=block))
        if answer is None or not answer.data:
            return False
        if len(head) < HEADER_SIZE:
            head += answer.data
            if len(head) >= HEADER_SIZE and not _is_usable(head, size):
                return True
        block += 1
        left -= len(answer.data)
        if until_live is not None and left > 0:
            until_live -= len(answer.data)
            if until_live <= 0:
                until_live = between
                yield from values.ask()
    return True


def _is_usable(head: bytes, size: int) -> bool:
    try:
        decode_header(head, size)
    except DecodeError:
        return False
    return True
