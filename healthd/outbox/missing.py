"""Names what is missing from a block of rows: of which stream, and which numbers.

The tally says how many rows of each stream a block has. What a damaged row says of itself is only
trusted if it fits the rows around it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from healthd.outbox.schema import Lost, Stream

# How every payload begins: it repeats the run and the number.
_IDENTITY = re.compile(rb'\{"id":"([0-9a-zA-Z]{1,32})-([0-9]{1,18})"')


class Place(NamedTuple):
    """Where a sample stands in its stream.

    Attributes:
        run: id of the run that took it.
        seq: its number.
        wall_ns: when it was taken; Unix time.
    """

    run: str
    seq: int
    wall_ns: int


class Sum(NamedTuple):
    """Rows, and the bytes of their payloads."""

    rows: int = 0
    payload_bytes: int = 0


class Block:
    """The rows of one block: the intact ones, and what the damaged ones say of themselves."""

    def __init__(self, before: Mapping[Stream, Place]) -> None:
        """Begin; ``before`` has the last intact sample of each stream in earlier blocks."""
        self._before = before
        self._intact: dict[Stream, list[Place]] = {}
        self._bytes: dict[Stream, int] = {}
        self.damaged: list[Sequence[Any]] = []

    def add(self, stream: Stream, place: Place, size: int) -> None:
        """Add an intact row; ``size`` is the length of its payload in bytes."""
        self._intact.setdefault(stream, []).append(place)
        self._bytes[stream] = self._bytes.get(stream, 0) + size

    def add_damaged(self, values: Sequence[Any]) -> None:
        """Add the columns of a damaged row, from its number on."""
        self.damaged.append(values)

    def last(self) -> dict[Stream, Place]:
        """Return the last intact sample of each stream so far."""
        return {**self._before, **{stream: all_[-1] for stream, all_ in self._intact.items()}}

    def sums(self) -> dict[Stream, Sum]:
        """Return how many rows of each stream are intact."""
        return {s: Sum(len(rows), self._bytes[s]) for s, rows in self._intact.items()}

    def missing(self, tally: Mapping[Stream, Sum] | None) -> tuple[list[Lost], int]:
        """Return what is lost, and how many rows are lost of which nothing is known.

        Args:
            tally: what the block should have; None if that is not known.
        """
        claims: dict[Stream, list[Place]] = {}
        for values in self.damaged:
            if (claim := self._claim(values, tally)) is not None:
                claims.setdefault(claim[0], []).append(claim[1])
        claimed = {stream: len(places) for stream, places in claims.items()}
        deficits = claimed if tally is None else self._deficits(tally)
        lost = [
            loss
            for stream, count in deficits.items()
            for loss in self._lost(stream, count, claims.get(stream, []))
        ]
        return lost, max(len(self.damaged) - sum(deficits.values()), 0)

    def _deficits(self, tally: Mapping[Stream, Sum]) -> dict[Stream, int]:
        """Return how many rows of each stream are missing; none if only the tally is wrong."""
        found = self.sums()
        missing: dict[Stream, int] = {}
        for stream, expected in tally.items():
            rows, payload_bytes = found.get(stream, Sum())
            if expected.rows > rows and expected.payload_bytes > payload_bytes:
                missing[stream] = expected.rows - rows
        surplus = sum(
            sums.rows - min(sums.rows, tally.get(stream, Sum()).rows)
            for stream, sums in found.items()
        )
        # A damaged name in the tally: the rows are there, under another name.
        return {} if surplus >= sum(missing.values()) and not self.damaged else missing

    def _claim(
        self, values: Sequence[Any], tally: Mapping[Stream, Sum] | None
    ) -> tuple[Stream, Place] | None:
        """Return what a damaged row says of itself, if that is possible."""
        peripheral, stream, _, run, seq, wall_ns = values[1:7]
        name = (peripheral, stream)
        if name not in (self._intact if tally is None else tally) and name not in self._before:
            return None
        written = values[10] if isinstance(values[10], bytes) else b""
        if identity := _IDENTITY.match(written):
            place = (identity[1].decode(), int(identity[2]))
        else:
            place = (run, seq)
        if place != (run, seq) and not (
            isinstance(seq, int) and isinstance(run, str) and self._fits(name, run, seq)
        ):
            run, seq = place
        elif not isinstance(seq, int) or not isinstance(run, str):
            return None
        known = self._points(name)
        if run not in {point.run for point in known} and identity is None:
            return None
        if not isinstance(wall_ns, int) or not _near(wall_ns, known):
            wall_ns = known[-1].wall_ns if known else 0
        return (name, Place(run, seq, wall_ns)) if 0 < seq < 1 << 62 else None

    def _fits(self, stream: Stream, run: str, seq: int) -> bool:
        """Return whether a sample with this number is missing between two others."""
        numbers = {point.seq for point in self._points(stream) if point.run == run}
        return bool(numbers) and seq not in numbers and min(numbers) < seq < max(numbers)

    def _points(self, stream: Stream) -> list[Place]:
        before = self._before.get(stream)
        return [*([] if before is None else [before]), *self._intact.get(stream, ())]

    def _lost(self, stream: Stream, count: int, claims: list[Place]) -> Iterable[Lost]:
        """Yield the losses of one stream: what is claimed, and the rest by the holes."""
        claims = sorted(claims, key=lambda place: (place.wall_ns, place.seq))[:count]
        for run in dict.fromkeys(claim.run for claim in claims):
            places = [claim for claim in claims if claim.run == run]
            yield _span(stream, places, len(places))
        if rest := count - len(claims):
            yield self._by_holes(stream, rest, claims)

    def _by_holes(self, stream: Stream, count: int, claims: Iterable[Place]) -> Lost:
        points = [*self._points(stream), *claims]
        if not points:
            return Lost(*stream, "", 0, 0, 0, 0, count)
        run = points[-1].run
        points = sorted(point for point in points if point.run == run)
        holes = [
            (before, after) for before, after in pairwise(points) if after.seq > before.seq + 1
        ]
        room = sum(after.seq - before.seq - 1 for before, after in holes)
        edges = [Place(run, before.seq + 1, before.wall_ns) for before, _ in holes]
        edges += [Place(run, after.seq - 1, after.wall_ns) for _, after in holes]
        if (rest := count - room) > 0:
            # Samples are stored in order, so they follow the last one, or precede the first.
            edges += [Place(run, points[-1].seq + more, points[-1].wall_ns) for more in (1, rest)]
            if stream not in self._before and points[0].seq > 1:
                edges.append(Place(run, max(points[0].seq - rest, 1), points[0].wall_ns))
        return _span(stream, edges, count)


def _span(stream: Stream, places: Sequence[Place], count: int) -> Lost:
    seqs = [place.seq for place in places]
    times = [place.wall_ns for place in places]
    return Lost(*stream, places[0].run, min(seqs), max(seqs), min(times), max(times), count)


def _near(wall_ns: int, known: Sequence[Place]) -> bool:
    """Return whether a time is about that of the samples around it: within a year."""
    year_ns = 366 * 86400 * 10**9
    return bool(known) and abs(wall_ns - known[-1].wall_ns) < year_ns
