"""One small JSON document in the state folder, for what has to outlive restarts and reboots.

It is replaced as a whole, and flushed before it is renamed, so a power cut leaves the old document
or the new one; one that cannot be read counts as none. While the disk fails its owner goes on with
what it has in memory, which a log line tells once.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson

from healthd.log import get_logger


class StateFile:
    """The document, and whether it could be kept."""

    def __init__(self, file: Path, what: str) -> None:
        """``what`` it holds, in the words of a log line."""
        self._file = file
        self._what = what
        self._writing = asyncio.Lock()
        self._log = get_logger(service=what)
        self._fails = False

    def read(self) -> Any:
        """The document; None where there is none, or one that is no JSON."""
        try:
            return orjson.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return None

    async def keep(self, document: Any) -> None:
        """Replace it. What is handed over is written as it is now, also where that is cancelled."""
        writing = asyncio.create_task(self._replace(orjson.dumps(document)))
        try:
            await asyncio.shield(writing)
        finally:
            # A thread cannot be stopped, and no other one may write meanwhile.
            await asyncio.wait([writing])

    async def _replace(self, content: bytes) -> None:
        async with self._writing:
            try:
                await asyncio.to_thread(_write, self._file, content)
            except OSError as error:
                if not self._fails:
                    file = str(self._file)
                    self._log.warning(f"{self._what} not kept", file=file, error=str(error))
                self._fails = True
            else:
                self._fails = False


def _write(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".new")
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    draft.replace(file)
