"""Which packets of a BTHome device are new measurements."""

from collections.abc import Iterable
from typing import Any

from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.samples import Measurement

# They begin again from zero after the last one.
_COUNTERS = 1 << 32

# A device whose battery was changed counts from zero, too. It was silent for a while, and some of
# its first packets may be lost.
_FIRST_COUNTERS = 100
_RESTART_NS = 60 * 1_000_000_000

# Others begin anywhere. A device that was not heard for this long may have started again.
_AWAY_NS = 900 * 1_000_000_000

# A device repeats a packet for this long at most (bthome-ble). After it, an equal id is that of a
# later measurement: there are only 256 of them.
_REPEATED_NS = 4 * 1_000_000_000

# They do not make a packet a measurement.
_OF_THE_PACKET = frozenset({"packet_id", "encryption_counter", *Measurement.model_fields})


class News:
    """Passes on a packet if it says something new, and if it was not recorded earlier.

    A device repeats its packets, with or without a packet id, and encrypted packets differ from
    each other even if their values are equal. Its values may be distributed over several packets.
    """

    def __init__(self, options: Options) -> None:
        """Start with nothing known; ``options`` do not matter."""
        del options
        self._values: dict[str, Any] = {}
        self._taken_ns = 0
        self._counter: int | None = None
        self._counted_ns = 0

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the measurement if it is new."""
        values = measurement.fields()
        counter = values.pop("encryption_counter", None)
        if counter is not None and not self._is_next(counter, mono_ns):
            return ()
        if not values.keys() - _OF_THE_PACKET:
            return ()
        if values.items() <= self._values.items():
            return ()
        if (packet := values.get("packet_id")) is not None:
            repeated = mono_ns - self._taken_ns < _REPEATED_NS
            if packet != self._values.get("packet_id"):
                self._values.clear()
            elif repeated and values.keys() <= self._values.keys():
                return ()
        self._values |= values
        self._taken_ns = mono_ns
        return (Timed(measurement, mono_ns),)

    def _is_next(self, counter: int, mono_ns: int) -> bool:
        """Return whether a counter is ahead of the last one: otherwise it is from a recording."""
        if self._counter is not None:
            ahead, since_ns = (counter - self._counter) % _COUNTERS, mono_ns - self._counted_ns
            restarted = since_ns >= (_RESTART_NS if counter < _FIRST_COUNTERS else _AWAY_NS)
            if not ahead or (ahead >= _COUNTERS // 2 and not restarted):
                return False
        self._counter, self._counted_ns = counter, mono_ns
        return True
