"""The observations of a run: samples, deliveries, gap events, crashes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Stream = tuple[str, str, str]
"""A stream of one run: peripheral, stream name, run id."""

# The times of a gap have microseconds, the time stamps of samples have nanoseconds.
_ROUNDING_NS = 1000


class Key(NamedTuple):
    """The identity of a sample, whose id is unique only within its stream."""

    peripheral: str
    stream: str
    run: str
    seq: int

    @property
    def stream_key(self) -> Stream:
        return self.peripheral, self.stream, self.run


class Accepted(NamedTuple):
    """A sample that was passed to ``Outbox.put``."""

    key: Key
    mono_ns: int
    wall_ns: int


class Delivery(NamedTuple):
    """A sample that the subscriber received."""

    key: Key
    history: bool
    mono_ns: int


@dataclass(frozen=True)
class Gap:
    """A gap event."""

    stream_key: Stream
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
        """Return whether the gap contains the sample, by number if it has numbers, else by time."""
        if self.stream_key != sample.key.stream_key:
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
    """A killed run: only samples accepted less than ``allowance_ns`` before may be missing."""

    run: str
    mono_ns: int
    allowance_ns: int


@dataclass
class Observations:
    """All observations of a run.

    Attributes:
        accepted: Samples in the order of acceptance.
        deliveries: Deliveries in the order of arrival, including duplicates.
        gaps: All distinct gap events.
        crashes: All kills and power cuts of the daemon.
        acknowledged: Samples that a broker acknowledged and that it had not delivered when it was
            killed.
        destroyed: Samples in a database that the test itself damaged, if healthd has reported the
            damage.
        unknown: Messages at sample topics that are not samples.
        until_ns: Samples accepted after this time may still be in transit, and do not count as
            missing.
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
