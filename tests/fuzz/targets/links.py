"""All that a device sends or advertises: joined, held back and derived by the profiles' states."""

from collections.abc import Iterable

import orjson

from healthd.errors import DecodeError
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk
from tests.fuzz.targets.decoders import SOURCES, vectors

# Names by which devices that deviate are recognised, and none.
_NAMES = (
    "",
    "FS-1A2B3C",
    "T01_1234",
    "WHIPR",
    "MI_SCALE",
    "MI SCALE2",
    "QardioARM",
    "SBM69",
    "Polar H10",
)

# A frame of a sensor has some hundred values, and a link may hold that many results back.
_MOST_AT_ONCE = 2000

_MS = 1_000_000


class Target(target.Target):
    """A name, then values: characteristic or broadcast, time since the one before, bytes."""

    def __init__(self) -> None:
        """Load the profiles once."""
        self._registry = load()

    def seeds(self) -> Iterable[bytes]:
        """Yield the first vectors of each of them, one after the other."""
        for uuid, packets in vectors().items():
            number = [each.uuid for each in SOURCES].index(uuid)
            values = [bytes([number, 100]) + chunk(packet[:255]) for packet in packets[:6]]
            yield b"\0" + b"".join(values)

    def fuzz(self, data: bytes) -> None:
        """Play the link to its end."""
        pieces = Pieces(data)
        name = _NAMES[pieces.number() % len(_NAMES)]
        options = Options(hrv_window_s=60, heart_rate_zones_bpm=(100, 120, 140))
        reader = Reader(self._registry, options, name, self._registry.profiles)
        mono_ns = 10**12
        while not pieces.is_empty:
            source = SOURCES[pieces.number() % len(SOURCES)]
            mono_ns += (pieces.number() ** 2) * _MS
            packet = pieces.chunk()
            try:
                made = reader.take(source, packet, mono_ns)
            except DecodeError:
                continue
            _check(made)
            if (due_ns := reader.due_ns) is not None and due_ns <= mono_ns:
                _check(reader.settle(mono_ns))
        _check(reader.held)
        if (due_ns := reader.due_ns) is not None:
            _check(reader.settle(due_ns))
        _check(reader.end())


def _check(made: Iterable[Timed]) -> None:
    found = list(made)
    assert len(found) <= _MOST_AT_ONCE, len(found)
    for timed in found:
        fields = timed.measurement.fields()
        assert orjson.loads(orjson.dumps(fields)) == fields
        assert isinstance(timed.mono_ns, int)
