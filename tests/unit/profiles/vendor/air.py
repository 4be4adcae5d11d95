"""Scales that only advertise, and what a controller reports of them."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.records import Records
from healthd.profiles.registry import load

REGISTRY = load()

# A scan is restarted that often, and the filters of controllers forget everything.
WINDOW_S = 10.2

_TAIL = bytes.fromhex("02005e100001")


class Advertised(NamedTuple):
    """One advertisement: when, under which key, and the bytes after the UUID or company id."""

    at_s: float
    key: str
    data: bytes


@dataclass
class Listener:
    """A peripheral that is listened to: its reader, and all that is published of it.

    As in sessions, bytes that do not change are not passed on, unless the device was silent for
    `again_s`.

    Attributes:
        profile: the name of its profile.
    """

    profile: str

    def __post_init__(self) -> None:
        self.published: list[Timed] = []
        self._last: dict[str, bytes] = {}
        self._heard_s = 0.0
        self._begin()

    def restart(self) -> None:
        """Stop healthd and start it again; the outbox keeps the records of samples."""
        self.published += self._reader.end()
        self._begin()

    def _begin(self) -> None:
        notes = [(each.measurement.kind, each.record) for each in self.published if each.record]
        records = Records()
        records.inherit(dict.fromkeys(notes, False))
        options = Options(records=records, now=self._now)
        self._reader = Reader(REGISTRY, options, None, [self.profile], "02:00:5E:10:00:01")
        self._last.clear()

    def _now(self) -> datetime:
        return datetime(2026, 11, 30) + timedelta(seconds=self._heard_s)  # noqa: DTZ001

    def hear(self, reports: Iterable[Advertised]) -> None:
        """Take what a controller reports, in the order of time."""
        for at_s, key, data in reports:
            self._settle(at_s)
            absent_s, self._heard_s = at_s - self._heard_s, at_s
            for _, broadcast, value in REGISTRY.broadcasts_in({key: data}):
                is_again = broadcast.again_s is not None and absent_s >= broadcast.again_s
                if self._last.get(broadcast.uuid) != value or is_again:
                    self.published += self._reader.take(broadcast, value, _ns(at_s))
                self._last[broadcast.uuid] = value

    @property
    def held(self) -> list[Timed]:
        """What is saved in case that healthd is killed: the next run publishes it."""
        return list(self._reader.held)

    def wait(self, seconds: float) -> None:
        """Let time pass after the last report."""
        self._settle(self._heard_s + seconds)

    def _settle(self, until_s: float) -> None:
        while (due_ns := self._reader.due_ns) is not None and due_ns <= _ns(until_s):
            self.published += self._reader.settle(due_ns)

    @property
    def results(self) -> list[float | None]:
        """The weights of all results."""
        return [getattr(timed.measurement, "weight_kg", None) for timed in self.finished]

    @property
    def finished(self) -> list[Timed]:
        """The results; each is live, because these scales send nothing old."""
        found = [timed for timed in self.published if timed.finished]
        assert not any(timed.stored for timed in found)
        return found

    @property
    def intermediate(self) -> list[float | None]:
        """The weights that are no results."""
        return [
            getattr(timed.measurement, "weight_kg", None)
            for timed in self.published
            if timed.measurement.intermediate
        ]


def _ns(seconds: float) -> int:
    return round((1_000 + seconds) * 1e9)


def reports(
    sent: Iterable[Advertised], kind: str, start_s: float = 0.0, lost: Callable[[], bool] = bool
) -> Iterator[Advertised]:
    """Yield what a controller reports; all of it is measured behaviour.

    Args:
        sent: the advertisements, in the order of time.
        kind: N reports all, D each payload once in a window of the scan, A each device once.
        start_s: when a window begins.
        lost: draws whether an advertisement was not heard.
    """
    window, seen = -1, set[tuple[str, bytes]]()
    for each in sent:
        if lost():
            continue
        now = int((each.at_s - start_s) // WINDOW_S)
        if now != window:
            window = now
            seen.clear()
        what = (each.key, each.data) if kind == "D" else ("", b"")
        if kind != "N" and what in seen:
            continue
        seen.add(what)
        yield each


# What each kind of scale advertises, from: seconds, weight in kg, stable, load removed, impedance.
Send = Callable[[float, float, bool, bool, float], Advertised]


def _clock(at_s: float) -> bytes:
    now = datetime(2020, 2, 28, 7, 30) + timedelta(seconds=int(at_s))  # noqa: DTZ001
    return struct.pack("<HBBBBB", now.year, now.month, now.day, now.hour, now.minute, now.second)


def mi_scale(at_s: float, kg: float, stable: bool, removed: bool, _ohm: float) -> Advertised:
    flags = 0x02 | stable << 5 | removed << 7
    return Advertised(
        at_s, "service_data_181d", struct.pack("<BH", flags, round(kg * 200)) + _clock(at_s)
    )


def mi_body_scale(at_s: float, kg: float, stable: bool, removed: bool, ohm: float) -> Advertised:
    flags = 0x04 | bool(ohm) << 1 | stable << 5 | removed << 7
    head = bytes([0x02, flags]) + _clock(at_s)
    return Advertised(
        at_s, "service_data_181b", head + struct.pack("<HH", round(ohm), round(kg * 200))
    )


def okok(at_s: float, kg: float, stable: bool, _removed: bool, ohm: float) -> Advertised:
    data = struct.pack(">HHHB", round(kg * 100), round(ohm * 10), 0x0A01, 0x24 | stable) + _TAIL
    return Advertised(at_s, "manufacturer_data_26c0", data)


def okok_counting(at_s: float, kg: float, stable: bool, removed: bool, ohm: float) -> Advertised:
    """Count packets, as the scale of homeassistant-okokscale pull request 14 does."""
    count = int(at_s * 10) % 256
    key = f"manufacturer_data_{count:02x}c0"
    return okok(at_s, kg, stable, removed, ohm)._replace(key=key)


def okok_20ca(at_s: float, kg: float, stable: bool, _removed: bool, ohm: float) -> Advertised:
    head = bytes.fromhex("0b41af2f8101") + bytes([0x04 | stable, int(at_s) % 256])
    data = head + struct.pack(">HH", round(kg * 100), round(ohm * 10))
    return Advertised(at_s, "manufacturer_data_20ca", data + _xor(0x20, data) + _TAIL)


def okok_11ca(at_s: float, kg: float, stable: bool, _removed: bool, _ohm: float) -> Advertised:
    data = struct.pack(">BBBHIB6x", 0x0F, stable, 1, round(kg * 100), 0x58332E00, 0x04)
    return Advertised(at_s, "manufacturer_data_11ca", data + _xor(0xCA ^ 0x11, data) + _TAIL)


def okok_f0ff(at_s: float, kg: float, _stable: bool, _removed: bool, _ohm: float) -> Advertised:
    data = struct.pack("<BBH8x", 2, 4, round(kg * 10)) + _TAIL
    return Advertised(at_s, "manufacturer_data_f0ff", data)


def _xor(start: int, data: bytes) -> bytes:
    for byte in data:
        start ^= byte
    return bytes([start])


PROFILES: dict[Send, str] = {
    mi_scale: "mi_scale",
    mi_body_scale: "mi_body_scale",
    okok: "okok",
    okok_counting: "okok",
    okok_20ca: "okok",
    okok_11ca: "okok",
    okok_f0ff: "okok",
}
FLAGGED = [send for send in PROFILES if send is not okok_f0ff]
