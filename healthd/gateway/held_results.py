"""The results that are held back, in a small file: a kill or a power cut must not lose them.

A device does not send a result again that it knows to be received. The outbox takes a result only
once it is clear whether it goes to the live topic or to the history.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from healthd.host.state_file import StateFile
from healthd.log import get_logger
from healthd.profiles.link_state import Timed
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.samples import ClockState, Record, Stamp

FILE_NAME = "held.json"

# In memory only for at most this long; a memory with many results costs only a few writes.
_GROUP_S = 0.5

# One result is held back for each kind of measurement of a peripheral: 100 are many. Of those that
# were published, a device that invents results every moment could add any number.
_MOST_ROWS = 256

# By then the outbox has committed a published result: it does so at once, if the disk works.
_COMMITTED_S = 5.0


class HeldResult(NamedTuple):
    """A result of an earlier run that was not published.

    Attributes:
        peripheral: id of the peripheral.
        timed: the result; its monotonic time means nothing in this run.
        wall_ns: when it arrived, Unix time.
        clock: whether that time can be trusted.
    """

    peripheral: str
    timed: Timed
    wall_ns: int
    clock: ClockState


class _Row(NamedTuple):
    """A result, and what the file says of it."""

    timed: Timed
    document: dict[str, Any]


class HeldResults:
    """The results that are held back now. Use it as an async context manager.

    Leave the context after the outbox has committed what was published at the end.
    """

    def __init__(self, folder: Path) -> None:
        """Use the file in ``folder``."""
        self._file = StateFile(folder / FILE_NAME, "held results")
        self._rows: dict[str, list[_Row]] = {}
        # Until when a published one stays in the file, and the row.
        self._published: deque[tuple[float, _Row]] = deque(maxlen=_MOST_ROWS)
        self._changed = asyncio.Event()
        self._log = get_logger(service="held results")

    async def __aenter__(self) -> Self:
        """Keep the file as it is: ``read`` comes first."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Write what is held back, which after a clean stop is nothing."""
        self._published.clear()
        if self._changed.is_set() or self._file.read():
            await self._write()

    def read(self, registry: Registry) -> list[HeldResult]:
        """Return what earlier runs held back; a row that cannot be read is logged and left out."""
        found: list[HeldResult] = []
        document = self._file.read()
        rows = cast(list[Any], document) if isinstance(document, list) else []
        until = time.monotonic() + _COMMITTED_S
        for row in rows[-_MOST_ROWS:]:
            try:
                record = None if row["record"] is None else _record(*row["record"])
                if (model := registry.model(row["kind"])) is None:
                    raise KeyError(row["kind"])
                made = model.of(row["fields"])
                clock: ClockState = "synced" if row["clock"] == "synced" else "unsynced"
                timed = Timed(made, 0, record, finished=True)
                found.append(HeldResult(str(row["peripheral"]), timed, int(row["wall_ns"]), clock))
                self._published.append((until, _Row(timed, row)))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                self._log.warning("held result not readable", error=str(error))
        return found

    def note(self, peripheral: str, held: Iterable[Timed], records: Records, now: Stamp) -> None:
        """Note everything that is held back of a peripheral from now on.

        Args:
            peripheral: its id.
            held: what is held back.
            records: which of its results became samples.
            now: the present time.
        """
        held, before = list(held), self._rows.get(peripheral, [])
        if held == [row.timed for row in before]:
            return
        until = time.monotonic() + _COMMITTED_S
        for row in before:
            kind, record = row.timed.measurement.kind, row.timed.record
            # One without a record could not be recognised, and would be published twice.
            if record is not None and records.results(kind).knows(record):
                self._published.append((until, row))
        self._rows[peripheral] = [_Row(timed, _document(peripheral, timed, now)) for timed in held]
        self._changed.set()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Write the file after changes, until it is cancelled."""
        mark_healthy()
        while True:
            wait_s = self._published[0][0] - time.monotonic() if self._published else None
            try:
                async with asyncio.timeout(None if wait_s is None else max(wait_s, 0)):
                    await self._changed.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(_GROUP_S)
            now = time.monotonic()
            while self._published and self._published[0][0] <= now:
                self._published.popleft()
            await self._write()

    async def _write(self) -> None:
        self._changed.clear()
        held = [row for rows in self._rows.values() for row in rows]
        published = [row for _, row in self._published]
        await self._file.keep([row.document for row in (*held, *published)])


def _record(series: object, number: object, made: object) -> Record:
    """Return the identity of a result as it stands in the file.

    Raises:
        TypeError: it is damaged.
    """
    if isinstance(series, str) and isinstance(number, int) and isinstance(made, str):
        return Record(series, number, made)
    raise TypeError("record: expected two texts and a number between them")


def _document(peripheral: str, timed: Timed, now: Stamp) -> dict[str, Any]:
    stamp = now.earlier(now.mono_ns - timed.mono_ns)
    return {
        "peripheral": peripheral,
        "kind": timed.measurement.kind,
        "fields": timed.measurement.fields(),
        "record": timed.record and list(timed.record),
        "wall_ns": stamp.wall_ns,
        "clock": stamp.clock,
    }
