"""Record accepted samples, deliveries and events while they happen."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.observations import Accepted, Crash, Delivery, Gap, Key, Observations
from tests.chaos.oracle import MissingSamples

GATEWAY = "chaos"
_PREFIX = f"healthd/{GATEWAY}/"
_ID = re.compile(rb'^\{"id":"([0-9a-f]{8})-([1-9][0-9]*)",')


def key_of(topic: str, payload: bytes) -> tuple[Key, bool] | None:
    """Return the key of the sample in a message, and whether its topic is a history topic.

    Returns:
        None if the topic is not a sample topic.

    Raises:
        ValueError: The topic is a sample topic, but the payload is not a sample.
    """
    if not topic.startswith(_PREFIX):
        return None
    levels = topic.removeprefix(_PREFIX).split("/")
    history = False
    if levels[0] == "device" and levels[2:] not in (["status"], ["info"]):
        peripheral, *rest = levels[1:]
        history = rest[-1] == "history"
        stream = "/".join(rest[:-1] if history else rest)
    elif levels[0] == "event":
        peripheral, stream = "", "/".join(levels)
    else:
        return None
    if (found := _ID.match(payload)) is None:
        raise ValueError(f"{topic}: {payload!r}")
    return Key(peripheral, stream, found[1].decode(), int(found[2])), history


@dataclass
class Event:
    """An event that the gateway published."""

    kind: str
    fields: Mapping[str, Any]
    mono_ns: int


@dataclass
class Ledger:
    """The record of a run, written by the outbox tap, the subscriber and the proxy."""

    accepted: list[Accepted] = field(default_factory=list[Accepted])
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    events: list[Event] = field(default_factory=list[Event])
    gaps: list[Gap] = field(default_factory=list[Gap])
    crashes: list[Crash] = field(default_factory=list[Crash])
    unknown: list[str] = field(default_factory=list[str])
    statuses: dict[str, bytes] = field(default_factory=dict[str, bytes])
    outstanding: dict[Key, Accepted] = field(default_factory=dict[Key, Accepted])
    accepted_at: dict[Key, int] = field(default_factory=dict[Key, int])
    destroyed: set[Key] = field(default_factory=set[Key])
    payloads: dict[Key, bytes] = field(default_factory=dict[Key, bytes])
    max_backlog: int = 0
    keep_payloads: bool = False
    _received: set[Key] = field(default_factory=set[Key])
    _acknowledged: set[Key] = field(default_factory=set[Key])
    _lost_by_broker: set[Key] = field(default_factory=set[Key])
    _settled: set[Key] = field(default_factory=set[Key])
    _until_ns: int | None = None

    def accept(self, line: str) -> None:
        """Record an accepted sample from a line of the outbox tap."""
        mono_ns, wall_ns, peripheral, stream, run, seq = line.split(" ")
        peripheral = "" if peripheral == "-" else peripheral
        sample = Accepted(Key(peripheral, stream, run, int(seq)), int(mono_ns), int(wall_ns))
        self.accepted.append(sample)
        self.accepted_at[sample.key] = sample.mono_ns
        if sample.key not in self._received:
            self.outstanding[sample.key] = sample
            self.max_backlog = max(self.max_backlog, len(self.outstanding))

    def receive(self, topic: str, payload: bytes, retained: bool, mono_ns: int) -> None:
        """Record a message that the subscriber received."""
        try:
            found = key_of(topic, payload)
        except ValueError as error:
            self.unknown.append(str(error))
            return
        if found is None:
            self.statuses[topic.removeprefix(_PREFIX)] = payload
        elif not retained:  # a retained message comes with each subscription: not a delivery
            key, history = found
            self.deliveries.append(Delivery(key, history, mono_ns))
            self.outstanding.pop(key, None)
            if not key.peripheral and key not in self._received:
                self._note_event(key.stream.removeprefix("event/"), payload, mono_ns)
            self._received.add(key)
            if self.keep_payloads:
                self.payloads.setdefault(key, payload)

    def _note_event(self, kind: str, payload: bytes, mono_ns: int) -> None:
        fields = json.loads(payload)
        self.events.append(Event(kind, fields, mono_ns))
        if kind == "gap":
            self.gaps.append(Gap.parse(fields))

    def acknowledge(self, key: Key) -> None:
        """Record a PUBACK for a sample that was forwarded to the daemon."""
        self._acknowledged.add(key)

    def broker_killed(self) -> None:
        """Excuse the samples that the killed broker had acknowledged but not delivered."""
        self._lost_by_broker |= self._acknowledged - self._received
        self._acknowledged.clear()

    def crash(self, run: str, allowance_s: float, mono_ns: int) -> None:
        """Record that the daemon was killed."""
        self.crashes.append(Crash(run, mono_ns, int(allowance_s * 1e9)))

    def observations(self) -> Observations:
        """Return all observations for the oracle."""
        return Observations(
            self.accepted,
            self.deliveries,
            self.gaps,
            self.crashes,
            self._lost_by_broker,
            self.destroyed,
            self.unknown,
            self._until_ns,
        )

    def is_settled(self, until_ns: int) -> bool:
        """Return whether all samples accepted before that time are received or excused."""
        return next(self._unexplained(until_ns), None) is None

    def give_up(self, until_ns: int) -> None:
        """Stop waiting for samples accepted before that time; they count as lost."""
        self._settled |= {sample.key for sample in self._unexplained(until_ns)}
        self._until_ns = until_ns

    def _unexplained(self, until_ns: int) -> Iterator[Accepted]:
        """Generate the samples that are neither received nor excused."""
        missing = MissingSamples(self.observations())
        for sample in self.outstanding.values():
            if sample.mono_ns < until_ns and sample.key not in self._settled:
                if missing.excuse(sample)[0]:
                    # An excuse is never withdrawn, so this sample need not be checked again.
                    self._settled.add(sample.key)
                else:
                    yield sample

    def reasons(self, since: int = 0) -> Counter[str]:
        """Count the gap events by reason, from the event with index ``since`` on."""
        return Counter(gap.reason for gap in self.gaps[since:])
