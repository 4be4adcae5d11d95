"""Joins the packets that together are one record, or one force curve, of a PM5."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from healthd.profiles.vendor.pm5.models import (
    Ergometer,
    ErgometerForceCurve,
    ErgometerSplit,
    ErgometerStroke,
    ErgometerWorkout,
)
from healthd.samples import Measurement

WAIT_S = 0.5
"""How long a record waits for its other packets. In ErgometerJS's recording they are 35 ms apart at
most; a busy radio delays them by some connection intervals."""

# Each characteristic may be delivered over a channel of its own, so a packet of one record may be
# overtaken by those of the next one. Records that are older still are as good as they get.
_OPEN_AT_ONCE = 2

# Between two packets of one curve; the next curve comes after a whole recovery.
_CURVE_S = 1.0

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Rule:
    """How packets become records of one kind.

    Attributes:
        same: keys that all packets of a record have, with equal values.
        marks: keys that only one packet each has; with all of them the record is whole.
    """

    same: tuple[str, ...]
    marks: frozenset[str]


_RULES: Mapping[type[Measurement], _Rule] = MappingProxyType(
    {
        Ergometer: _Rule(
            ("elapsed_time_s",), frozenset({"workout_state", "speed_mps", "interval"})
        ),
        ErgometerStroke: _Rule(
            ("elapsed_time_s", "stroke_count"), frozenset({"drive_length_m", "power_w"})
        ),
        ErgometerSplit: _Rule(
            ("elapsed_time_s", "interval"), frozenset({"split_time_s", "energy_kj"})
        ),
        ErgometerWorkout: _Rule(
            ("device_time",),
            frozenset({"total_distance_m", "average_pace_s_per_500m", "split_count"}),
        ),
    }
)


@dataclass(slots=True, eq=False)
class Joined:
    """A record, or its part so far.

    Attributes:
        measurement: its fields so far.
        since_ns: when its first packet arrived.
        latest_ns: when its last one did.
    """

    measurement: Measurement
    since_ns: int
    latest_ns: int


class Records:
    """The records of one link that wait for packets; at most two of each kind."""

    def __init__(self) -> None:
        """Start without any."""
        self.waiting: list[Joined] = []

    @property
    def due_ns(self) -> int | None:
        """When the first one has waited for long enough; None if there is none."""
        return self.waiting[0].since_ns + round(WAIT_S * _NS) if self.waiting else None

    def add(self, packet: Measurement, mono_ns: int) -> list[Joined]:
        """Add a packet; return the records that are finished now, the oldest first."""
        rule = _RULES[type(packet)]
        alike = [each for each in self.waiting if type(each.measurement) is type(packet)]
        same = [each for each in alike if _are_same(rule, each.measurement, packet)]
        record = next((each for each in same if _lacks(rule, each.measurement, packet)), None)
        if record is None:
            # What has this packet already gets no more: the same time goes on.
            done = same or alike[: len(alike) + 1 - _OPEN_AT_ONCE]
            record = Joined(packet, mono_ns, mono_ns)
            self.waiting.append(record)
        else:
            done = []
            fields = {key: getattr(packet, key) for key in packet.model_fields_set}
            record.measurement = record.measurement.model_copy(update=fields)
            record.latest_ns = mono_ns
        if rule.marks <= record.measurement.model_fields_set:
            # Nothing comes any more for those that are older.
            older = alike[: alike.index(record)] if record in alike else alike
            done = [*older, record]
        return self._finish(done)

    def settle(self, mono_ns: int) -> list[Joined]:
        """Return the records that have waited for long enough."""
        latest_ns = mono_ns - round(WAIT_S * _NS)
        return self._finish([each for each in self.waiting if each.since_ns <= latest_ns])

    def end(self) -> list[Joined]:
        """Return all that wait: nothing follows."""
        return self._finish(self.waiting)

    def _finish(self, done: list[Joined]) -> list[Joined]:
        self.waiting = [each for each in self.waiting if each not in done]
        return done


def _are_same(rule: _Rule, first: Measurement, second: Measurement) -> bool:
    return all(getattr(first, key) == getattr(second, key) for key in rule.same)


def _lacks(rule: _Rule, record: Measurement, packet: Measurement) -> bool:
    return rule.marks.isdisjoint(record.model_fields_set & packet.model_fields_set)


class ForceCurve:
    """The force curve that is arriving.

    Its packets count from 0. If one is missing, no other can stand for it: all of the curve is
    dropped, and so are its later packets.
    """

    def __init__(self) -> None:
        """Start between two curves."""
        self._forces: list[float] = []
        self._packets = self._next = self._latest_ns = 0

    def add(self, packet: ErgometerForceCurve, mono_ns: int) -> ErgometerForceCurve | None:
        """Return the whole curve after its last packet, else None."""
        is_late = mono_ns - self._latest_ns > _CURVE_S * _NS
        self._latest_ns = mono_ns
        if packet.packet == 0:
            self._forces, self._packets, self._next = [], packet.packets or 0, 0
        elif packet.packet != self._next or packet.packets != self._packets or is_late:
            self._next = -1
            return None
        self._forces.extend(packet.forces_n)
        self._next += 1
        if self._next != self._packets:
            return None
        self._next = -1
        return ErgometerForceCurve.of({"forces_n": self._forces})
