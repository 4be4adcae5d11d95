"""What was fetched last, kept over restarts and reboots: one small file beside the outbox.

A file of its own rather than a table in the outbox: a damaged outbox is put aside and begun anew,
and its one thread may be busy or without a disk, neither of which may have every scale of the
house fetched again. It is written once a run and replaced as a whole, flushed before it is
renamed, so a power cut leaves the old file or the new one; one that cannot be read counts as none.
"""

import asyncio
import os
from pathlib import Path

import orjson

from healthd.log import get_logger
from healthd.schedule import Last

FILE_NAME = "schedule.json"


class ScheduleFile:
    """The last point of every periodic peripheral's schedule."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = folder / FILE_NAME
        self._last = _read(self._file)
        self._writing = asyncio.Lock()
        self._log = get_logger(service="schedule")
        self._fails = False

    def last(self, peripheral: str) -> Last | None:
        """What is remembered of the peripheral."""
        return self._last.get(peripheral)

    async def remember(self, peripheral: str, last: Last) -> None:
        """Keep it. While the disk fails it is kept in memory, which a log line tells once."""
        self._last[peripheral] = last
        async with self._writing:
            try:
                await asyncio.to_thread(_write, self._file, dict(self._last))
            except OSError as error:
                if not self._fails:
                    self._log.warning("schedule not kept", file=str(self._file), error=str(error))
                self._fails = True
            else:
                self._fails = False


def _read(file: Path) -> dict[str, Last]:
    try:
        rows = orjson.loads(file.read_bytes())
        return {
            str(peripheral): Last(int(row["wall_ns"]), int(row["mono_ns"]), str(row["boot"]))
            for peripheral, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(file: Path, last: dict[str, Last]) -> None:
    draft = file.with_suffix(".new")
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as written:
        written.write(orjson.dumps(last))
        written.flush()
        os.fsync(written.fileno())
    draft.replace(file)
