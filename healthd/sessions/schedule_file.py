"""What was fetched last, kept over restarts and reboots: one small file beside the outbox.

A file of its own rather than a table in the outbox: a damaged outbox is put aside and begun anew,
and its one thread may be busy or without a disk, neither of which may have every scale of the
house fetched again. It is written once a run.
"""

from pathlib import Path
from typing import Any

from healthd.host.state_file import StateFile
from healthd.schedule import Last

FILE_NAME = "schedule.json"


class ScheduleFile:
    """The last point of every periodic peripheral's schedule."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = StateFile(folder / FILE_NAME, "schedule")
        self._last = _read(self._file.read())

    def last(self, peripheral: str) -> Last | None:
        """What is remembered of the peripheral."""
        return self._last.get(peripheral)

    async def remember(self, peripheral: str, last: Last) -> None:
        """Keep it. While the disk fails it is kept in memory."""
        self._last[peripheral] = last
        await self._file.keep(self._last)


def _read(rows: Any) -> dict[str, Last]:
    try:
        return {
            str(peripheral): Last(int(row["wall_ns"]), int(row["mono_ns"]), str(row["boot"]))
            for peripheral, row in rows.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
