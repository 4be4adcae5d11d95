"""Keeps what was accepted, received and said, while it happens."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.evidence import Accepted, Crash, Delivery, Evidence, Gap, Key
from tests.chaos.oracle import Judge

GATEWAY = "chaos"
_PREFIX = f"healthd/{GATEWAY}/"
_ID = re.compile(rb'^\{"id":"([0-9a-f]{8})-([1-9][0-9]*)",')


def key_of(topic: str, payload: bytes) -> tuple[Key, bool] | None:
    """The sample in a message, and whether its topic is a history topic; None where none is.

    Raises:
        ValueError: the topic is one of samples, but what is in it is none.
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
    """What the gateway said of itself."""

    kind: str
    fields: Mapping[str, Any]
    mono_ns: int


@dataclass
class Ledger:
    """Fed by the tap, the subscriber and the proxy; asked by tests and by the judge."""

    accepted: list[Accepted] = field(default_factory=list[Accepted])
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    events: list[Event] = field(default_factory=list[Event])
    gaps: list[Gap] = field(default_factory=list[Gap])
    crashes: list[Crash] = field(default_factory=list[Crash])
    unknown: list[str] = field(default_factory=list[str])
    statuses: dict[str, bytes] = field(default_factory=dict[str, bytes])
    outstanding: dict[Key, Accepted] = field(default_factory=dict[Key, Accepted])
    taken_at: dict[Key, int] = field(default_factory=dict[Key, int])
    destroyed: set[Key] = field(default_factory=set[Key])
    payloads: dict[Key, bytes] = field(default_factory=dict[Key, bytes])
    max_backlog: int = 0
    keep_payloads: bool = False
    _received: set[Key] = field(default_factory=set[Key])
    _acknowledged: set[Key] = field(default_factory=set[Key])
    _forgotten: set[Key] = field(default_factory=set[Key])
    _done_with: set[Key] = field(default_factory=set[Key])
    _until_ns: int | None = None

    def accept(self, line: str) -> None:
        """A line of the tap."""
        mono_ns, wall_ns, peripheral, stream, run, seq = line.split(" ")
        peripheral = "" if peripheral == "-" else peripheral
        one = Accepted(Key(peripheral, stream, run, int(seq)), int(mono_ns), int(wall_ns))
        self.accepted.append(one)
        self.taken_at[one.key] = one.mono_ns
        if one.key not in self._received:
            self.outstanding[one.key] = one
            self.max_backlog = max(self.max_backlog, len(self.outstanding))

    def receive(self, topic: str, payload: bytes, retained: bool, mono_ns: int) -> None:
        """A message that the subscriber got."""
        try:
            found = key_of(topic, payload)
        except ValueError as error:
            self.unknown.append(str(error))
            return
        if found is None:
            self.statuses[topic.removeprefix(_PREFIX)] = payload
        elif not retained:  # kept by the broker: no delivery, it comes with each subscription
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
        """The broker's PUBACK for a sample went to the daemon."""
        self._acknowledged.add(key)

    def broker_killed(self) -> None:
        """What this broker had acknowledged and not delivered yet, it may have forgotten."""
        self._forgotten |= self._acknowledged - self._received
        self._acknowledged.clear()

    def crash(self, run: str, allowance_s: float, mono_ns: int) -> None:
        """The daemon was killed."""
        self.crashes.append(Crash(run, mono_ns, int(allowance_s * 1e9)))

    def evidence(self) -> Evidence:
        """Everything, for the judge."""
        return Evidence(
            self.accepted,
            self.deliveries,
            self.gaps,
            self.crashes,
            self._forgotten,
            self.destroyed,
            self.unknown,
            self._until_ns,
        )

    def is_settled(self, until_ns: int) -> bool:
        """Whether everything accepted before is received, or need not be."""
        return next(self._open(until_ns), None) is None

    def give_up(self, until_ns: int) -> None:
        """It was waited for long enough: from now on this is what is judged."""
        self._done_with |= {one.key for one in self._open(until_ns)}
        self._until_ns = until_ns

    def _open(self, until_ns: int) -> Iterator[Accepted]:
        """What is neither received nor excused; the first one comes at once."""
        judge = Judge(self.evidence())
        for one in self.outstanding.values():
            if one.mono_ns < until_ns and one.key not in self._done_with:
                if judge.excuse(one)[0]:
                    # Nothing takes an excuse back; it need not be looked for again.
                    self._done_with.add(one.key)
                else:
                    yield one

    def reasons(self, since: int = 0) -> Counter[str]:
        """How often each reason occurs among the gap events, from the given one on."""
        return Counter(gap.reason for gap in self.gaps[since:])
