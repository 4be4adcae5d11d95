"""Links of one device, one after the other, and what is published of the packets it sends."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.records import Records
from healthd.profiles.registry import load
from healthd.samples import Record, Taken

REGISTRY = load()
NOW = datetime(2025, 7, 20, 8, 0)  # noqa: DTZ001 - device times have no zone


@dataclass
class Device:
    """A device that healthd links again and again, over restarts.

    Attributes:
        name: its advertised name.
        profile: the name of its profile.
        now: the local time of the gateway; None if it is not known.
        published: everything that was published, in order.
    """

    profile: str
    name: str = ""
    now: datetime | None = NOW
    published: list[Timed] = field(default_factory=list[Timed])

    def __post_init__(self) -> None:
        self.at_ns = 1_000_000_000
        self._notes: dict[Taken, bool] = {}
        self._records = self._from_notes()
        self.link()

    def _from_notes(self) -> Records:
        def settle(gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
            for taken in gone:
                self._notes.pop(taken, None)
            self._notes.update(whole)

        records = Records(settle)
        records.inherit(self._notes)
        return records

    def link(self) -> None:
        """End the link, if there is one, and begin another."""
        self.end()
        options = Options(records=self._records, now=lambda: self.now)
        self._reader = Reader(REGISTRY, options, self.name, [self.profile])

    def restart(self) -> None:
        """Kill healthd: what is held back is lost. The notes of records are kept."""
        del self._reader
        self._records = self._from_notes()
        self.link()

    def send(self, *packets: str, every_s: float = 0.2, uuid: str = "") -> list[tuple[Any, ...]]:
        """Send packets; return what is published until the last of them has arrived."""
        characteristic = REGISTRY.characteristics[uuid or UUIDS[self.profile]]
        before = len(self.published)
        for packet in packets:
            self.pause(every_s)
            taken = self._reader.take(characteristic, bytes.fromhex(packet), self.at_ns)
            self._publish(taken)
        return short(self.published[before:])

    def pause(self, seconds: float) -> list[tuple[Any, ...]]:
        """Let time pass; return what is published meanwhile."""
        before = len(self.published)
        end_ns = self.at_ns + round(seconds * 1e9)
        while (due_ns := self._reader.due_ns) is not None and due_ns <= end_ns:
            self.at_ns = max(self.at_ns, due_ns)
            self._publish(self._reader.settle(self.at_ns))
        self.at_ns = end_ns
        return short(self.published[before:])

    def end(self) -> list[tuple[Any, ...]]:
        """End the link; return what is published of it."""
        before = len(self.published)
        if hasattr(self, "_reader"):
            self._publish(self._reader.end())
            del self._reader
        return short(self.published[before:])

    def _publish(self, found: Iterable[Timed]) -> None:
        for timed in found:
            self.published.append(timed)
            if timed.record is not None:
                # The outbox notes a record together with its sample.
                self._notes.setdefault((timed.measurement.kind, timed.record), False)

    @property
    def live(self) -> list[Any]:
        """What went to the topic of results, by its values."""
        return [value for _, value, where in self.results if where == "live"]

    @property
    def history(self) -> list[Any]:
        """What went to the history of results."""
        return [value for _, value, where in self.results if where == "history"]

    @property
    def intermediate(self) -> list[Any]:
        """The intermediate values."""
        return [value for _, value, where in short(self.published) if where == "intermediate"]

    @property
    def results(self) -> list[tuple[Any, ...]]:
        """All results, in order."""
        return short(timed for timed in self.published if timed.finished)

    @property
    def notes(self) -> list[Record]:
        """The records that the outbox has noted."""
        return [record for _, record in self._notes]


UUIDS = {
    "weight_scale": "2a9d",
    "body_composition": "2a9c",
    "blood_pressure": "2a35",
    "health_thermometer": "2a1c",
    "pulse_oximeter": "2a5e",
}
_VALUES = ("weight_kg", "systolic_mmhg", "cuff_pressure_mmhg", "temperature_c", "spo2_pct")


def short(found: Iterable[Timed]) -> list[tuple[Any, ...]]:
    """Return the kind, the main value, and where it goes: live, history or intermediate."""
    shown: list[tuple[Any, ...]] = []
    for timed in found:
        made = timed.measurement
        [value] = [getattr(made, key) for key in _VALUES if hasattr(made, key)][:1]
        finished = "history" if timed.stored else "live"
        where = "intermediate" if made.intermediate else finished
        shown.append((made.kind, value, where))
    return shown
