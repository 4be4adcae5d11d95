"""A PM5 as its profile sees it: what it sends, at which time, and what is published of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.records import Records
from healthd.profiles.registry import load

REGISTRY = load()
_MS = 1_000_000


class Sent(NamedTuple):
    """A notification: when, in milliseconds, the number of the characteristic, and its value."""

    at_ms: int
    number: int
    value: bytes


def recording() -> list[Sent]:
    """Return a real row of 100 m: ten strokes, one split, and the summary."""
    text = (Path(__file__).parent / "row.txt").read_text()
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [Sent(int(at), int(number, 16), bytes.fromhex(value)) for at, number, value in rows]


class Monitor:
    """One peripheral, on one link after the other.

    Attributes:
        published: all of it.
    """

    def __init__(self) -> None:
        self.published: list[Timed] = []
        self._records = Records()
        self._now_ms = 0
        self.link()

    def link(self) -> None:
        """Begin a new link."""
        options = Options(records=self._records)
        self._reader = Reader(REGISTRY, options, "PM5 430000000", ["pm5"])

    def send(self, *sent: Sent) -> None:
        """Send these, and settle what is due between them, as a session does."""
        for at_ms, number, value in sent:
            self.wait(at_ms)
            uuid = f"ce06{number:04x}-43e5-11e4-916c-0800200c9a66"
            characteristic = REGISTRY.characteristics[uuid]
            self.published += self._reader.take(characteristic, value, at_ms * _MS)

    def wait(self, until_ms: int) -> None:
        """Let the time pass."""
        while (due_ns := self._reader.due_ns) is not None and due_ns <= until_ms * _MS:
            before = len(self.published)
            self.published += self._reader.settle(due_ns)
            assert len(self.published) > before or self._reader.due_ns != due_ns

    def end(self) -> None:
        """End the link."""
        self.published += self._reader.end()

    @property
    def held(self) -> list[Timed]:
        """What would be lost if the process died now."""
        return self._reader.held

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the fields of what is published of this kind."""
        measurements = (timed.measurement for timed in self.published)
        return [each.fields() for each in measurements if each.kind == kind]


def published(sent: Iterable[Sent]) -> Monitor:
    """Return a monitor that has sent all of this on one link."""
    monitor = Monitor()
    monitor.send(*sent)
    monitor.end()
    return monitor


def as_multiplexed(sent: Iterable[Sent]) -> list[Sent]:
    """Return the same over 0080, in the forms of table 4 of the interface definition.

    What these have more than the others comes from the packets that are before or after them.
    """
    found: list[Sent] = []
    rows = list(sent)
    power = {row.value[:3]: row.value[4:6] for row in rows if row.number == 0x33}
    work = {row.value[-2:]: row.value[16:18] for row in rows if row.number == 0x35}
    for at_ms, number, value in rows:
        packets = [(number, value)]
        if number == 0x32:
            packets = [(number, value[:16] + power.get(value[:3], b"\0\0") + value[16:])]
        elif number == 0x33:
            packets = [(number, value[:4] + value[6:])]
        elif number == 0x35:
            packets = [(number, value[:16] + value[18:])]
        elif number == 0x36:
            packets = [(number, value + work[value[7:9]])]
        elif number == 0x39:
            packets = [(number, value[:18]), (0x3C, value[:4] + value[18:] + bytes(4))]
        elif number == 0x3A:
            packets = [(number, value[:4] + value[5:])]
        found += [Sent(at_ms, 0x80, bytes((which,)) + data) for which, data in packets]
    return found
