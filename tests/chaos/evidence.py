"""What is known: samples, deliveries, gap events, crashes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Stream = tuple[str, str, str]
"""Peripheral, stream, run."""

# A gap's times have microseconds, a stamp has nanoseconds.
_ROUNDING_NS = 1000


class Key(NamedTuple):
    """What identifies a sample: its id is unique in its stream only."""

    peripheral: str
    stream: str
    run: str
    seq: int

    @property
    def of(self) -> Stream:
        return self.peripheral, self.stream, self.run


class Accepted(NamedTuple):
    """A sample that ``Outbox.put`` was called with."""

    key: Key
    mono_ns: int
    wall_ns: int


class Delivery(NamedTuple):
    """A message with a sample, as the subscriber received it."""

    key: Key
    history: bool
    mono_ns: int


@dataclass(frozen=True)
class Gap:
    """A gap event."""

    of: Stream
    reason: str
    first_ns: int
    last_ns: int
    first_seq: int | None
    last_seq: int | None
    count: int | None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Gap":
        return cls(
            (fields["peripheral"], fields["stream"], fields["run"]),
            fields["reason"],
            _unix_ns(fields["first"]),
            _unix_ns(fields["last"]),
            fields.get("first_seq"),
            fields.get("last_seq"),
            fields.get("count"),
        )

    def covers(self, sample: Accepted) -> bool:
        """Whether the sample lies in what this event calls missing: by number where it has some."""
        if self.of != sample.key.of:
            return False
        if self.first_seq is None:
            if sample.wall_ns < self.first_ns - _ROUNDING_NS:
                return False
        elif sample.key.seq < self.first_seq:
            return False
        if self.last_seq is None:
            return sample.wall_ns <= self.last_ns + _ROUNDING_NS
        return sample.key.seq <= self.last_seq


class Crash(NamedTuple):
    """A run that was killed: nothing accepted more than ``allowance_ns`` before may be missing."""

    run: str
    mono_ns: int
    allowance_ns: int


@dataclass
class Evidence:
    """All that is known.

    Attributes:
        accepted: in the order of acceptance.
        deliveries: in the order of arrival, duplicates included.
        gaps: every distinct gap event.
        crashes: every kill -9 and power cut of the daemon.
        acknowledged: PUBACK seen on its way to the daemon, from a broker that was killed later.
        destroyed: what was in a database that the test itself garbled; only where healthd has
            told that it found the damage.
        unknown: messages at topics of samples that hold none.
        until_ns: what was accepted later is still on its way, and cannot be missing.
    """

    accepted: Sequence[Accepted] = ()
    deliveries: Sequence[Delivery] = ()
    gaps: Sequence[Gap] = ()
    crashes: Sequence[Crash] = ()
    acknowledged: Collection[Key] = ()
    destroyed: Collection[Key] = ()
    unknown: Sequence[str] = ()
    until_ns: int | None = None


def _unix_ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
