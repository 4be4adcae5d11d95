"""Reads what the daemon has kept of a peripheral with ``[capture]``, as one capture."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from healthd.gateway.capturing.ring import parts
from healthd.traffic.codec import BadCapture, decode
from healthd.traffic.lines import Connected, Discovered, Line, Missing, MtuAgreed, Start


def stored_lines(folder: Path, peripheral: str) -> Iterator[Line]:
    """Yield the lines of all parts, with one start and the times of one capture.

    A part begins with the link that existed: what the lines before it say already is left out. The
    last line of a part is missing if healthd was killed while it wrote.

    Args:
        folder: of the captures.
        peripheral: its id.

    Raises:
        OSError: it cannot be read.
        BadCapture: a part is damaged.
    """
    joining = _Joining()
    for part in parts(folder):
        if part.peripheral == peripheral:
            # The daemon may remove the oldest one meanwhile.
            with suppress(FileNotFoundError), part.file.open("rb") as texts:
                yield from joining.part(texts)


class _Joining:
    """Makes one capture of parts."""

    def __init__(self) -> None:
        self._first: Start | None = None
        self._run: str | None = None
        self._offset_s = 0.0
        self._last: Line | None = None
        self._links_before = self._most_links = 0
        # What was said of each link, by its number.
        self._said: dict[tuple[type[Line], int], Any] = {}

    def part(self, texts: Iterable[bytes]) -> Iterator[Line]:
        """Yield the lines of the next part.

        Raises:
            BadCapture: it is damaged.
        """
        has_start = False
        for number, text in enumerate(texts, start=1):
            if not text.endswith(b"\n"):
                yield from self._torn()
                return
            line = decode(text, number)
            if isinstance(line, Start):
                has_start = True
                yield from self._start(line)
            elif has_start:
                yield from self._joined(line)
            else:
                raise BadCapture(f"line {number}", f"found {line.what}, expected a start")

    def _joined(self, line: Line) -> Iterator[Line]:
        if (link := getattr(line, "link", None)) is not None:
            link += self._links_before
            self._most_links = max(self._most_links, link)
            line = line.model_copy(update={"link": link})
            if self._repeats(line, link):
                return
        self._last = line.model_copy(update={"t": round(line.t + self._offset_s, 6)})
        yield self._last

    def _torn(self) -> Iterator[Line]:
        """Yield what stands for a line that was not written to its end."""
        if (last := self._last) is not None:
            reason = "healthd ended while it wrote"
            yield Missing(t=last.t, time=last.time, count=1, reason=reason)

    def _start(self, start: Start) -> Iterator[Line]:
        run = start.healthd.get("run")
        if run != self._run:
            # Each run of healthd counts from 1.
            self._links_before = self._most_links
        self._run = run
        if self._first is None or self._last is None:
            self._first = self._last = start
            yield start
            return
        passed_s = (start.time - self._first.time).total_seconds()
        # The clock may have been set back between them.
        self._offset_s = max(passed_s, self._last.t)

    def _repeats(self, line: Line, link: int) -> bool:
        if not isinstance(line, Connected | Discovered | MtuAgreed):
            return False
        key = type(line), link
        before, self._said[key] = self._said.get(key), line
        if isinstance(line, Connected):
            return before is not None
        if isinstance(line, MtuAgreed):
            return isinstance(before, MtuAgreed) and before.mtu == line.mtu
        return isinstance(before, Discovered) and before.services == line.services
