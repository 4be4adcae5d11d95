"""The last fetch of each periodic peripheral, kept over restarts and reboots in one small file.

It is a separate file, not a table in the outbox: a damaged outbox is set aside and replaced, and
its only thread may be busy or have no disk space. Neither may cause every scale to be fetched
again. The file is written once per run.
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
        """Return the last point of the peripheral's schedule; None if there is none."""
        return self._last.get(peripheral)

    async def remember(self, peripheral: str, last: Last) -> None:
        """Store the last point; only in memory while the disk fails."""
        self._last[peripheral] = last
        await self._file.keep(self._last)


def _read(rows: Any) -> dict[str, Last]:
    try:
        return {
            str(peripheral): Last(_ns(row["wall_ns"]), _ns(row["mono_ns"]), str(row["boot"]))
            for peripheral, row in rows.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _ns(value: Any) -> int:
    """Return a time of the file; a damaged one may be too large to be written again."""
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(f"expected a time in nanoseconds, found {value}")
    return value
