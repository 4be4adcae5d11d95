"""Whatever a ring answers: its dialogues end or go on, and what is published stays plausible."""

import struct
from collections.abc import Iterable, Iterator
from datetime import datetime

import orjson

from healthd.profiles.dialogue import Dialogue, NoAnswer, Request
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from healthd.profiles.vendor.o2ring import PROFILE
from healthd.profiles.vendor.o2ring.framing import is_answer, parse
from healthd.simulator.vendor.o2ring import frame, stored_night
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk

(_CONTROL,) = PROFILE.characteristics
_START = datetime(2026, 1, 31, 22, 33, 40)  # noqa: DTZ001 - the ring's clock has no zone

# What happens to a request: it is not answered, refused, or answered with data.
_SILENT, _REFUSED = 0, 1


class Target(target.Target):
    """Answers: what happens, then the data; in blocks of a file, of up to 255 bytes."""

    words = (b'{"FileList":"', b"20260131223340", b"\x03\x00\xea\x07")

    def __init__(self) -> None:
        """Load the profiles once."""
        self._registry = load()

    def seeds(self) -> Iterable[bytes]:
        """Yield a ring with a night, and one that is not worn."""
        live = bytes([97, 72, 0, 80, 0, 54, 1, 0, 0, 0, 2, 0, 90, 91])
        names = b'{"Model":"1652","FileList":"20260131223340,"}'
        file = stored_night(_START, [(97, 60, 3)] * 20)
        size = struct.pack("<I", len(file))
        answers = (live, names, size, file[:90], file[90:], b"", live)
        yield b"".join(b"\2" + chunk(answer) for answer in answers)
        yield b"\0\1\0" + b"\2" + chunk(bytes([255, 255, 255, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0]))

    def fuzz(self, data: bytes) -> None:
        """Open the ring, then poll it, as long as there are answers."""
        pieces, options = Pieces(data), Options()
        reader = Reader(self._registry, options, "O2Ring", [PROFILE.name])
        assert PROFILE.opening is not None
        assert PROFILE.polling is not None
        for exchange in (PROFILE.opening.exchange, PROFILE.polling.exchange):
            for message in _messages(exchange(options), pieces):
                for timed in reader.take(_CONTROL, message, 0):
                    fields = timed.measurement.fields()
                    assert orjson.loads(orjson.dumps(fields)) == fields
                    assert timed.stored == (timed.record is not None)


def _messages(dialogue: Dialogue, pieces: Pieces) -> Iterator[bytes]:
    """Carry on a dialogue; yield what is written, and what is answered."""
    asked = next(dialogue, None)
    while asked is not None and not pieces.is_empty:
        request = asked.data if isinstance(asked, Request) else asked
        yield request
        what = pieces.number() % 3
        data = b"" if what == _SILENT else pieces.chunk()
        answer = frame(0x55, int(what == _REFUSED), parse(request).block, data)
        try:
            if what == _SILENT or not is_answer(parse(request), parse(answer)):
                asked = dialogue.throw(NoAnswer())
            else:
                yield answer
                asked = dialogue.send(answer)
        except StopIteration:
            return
