"""One small JSON document in the state folder, for what must outlive restarts and reboots.

The document is replaced as a whole and flushed to the disk first, so a power cut leaves the old
document or the new one; a document that cannot be read counts as absent. While the disk fails, the
owner continues with its copy in memory, and one log line reports the failure.
"""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from healthd.host.atomic import replace_file
from healthd.host.private import make_folder
from healthd.host.seal import read_sealed, seal
from healthd.log import get_logger


class StateFile:
    """The file of one document."""

    def __init__(self, file: Path, what: str) -> None:
        """Use ``file``; ``what`` names its content in log lines."""
        self._file = file
        self._what = what
        self._writing = asyncio.Lock()
        self._log = get_logger(service=what)
        self._fails = False

    def read(self) -> Any:
        """Return the document; None if there is none, or if it cannot be used."""
        try:
            return orjson.loads(read_sealed(self._file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._log.warning(f"{self._what} not readable", file=str(self._file), error=str(error))
            return None

    async def keep(self, document: Any) -> None:
        """Replace the document by its present content; a cancellation does not stop the write."""
        writing = asyncio.create_task(
            self._replace(orjson.dumps(document)), name=f"write {self._what}"
        )
        try:
            await asyncio.shield(writing)
        finally:
            # A thread cannot be stopped, and two threads must not write at once.
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
    make_folder(file.parent)
    replace_file(file, seal(content), durable=True)
