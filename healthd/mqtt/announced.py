"""What Home Assistant has been told, kept over restarts: it forgets nothing by itself.

An entity that is merely left out stays there for ever, and so does a device whose topic nobody
empties: both have to be remembered until the broker has been told that they are gone. What a
device was seen to publish is remembered too, so that it is announced as a whole at the next start.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from healthd.host.state_file import StateFile

FILE_NAME = "announced.json"


class Seen(BaseModel):
    """What was learnt of a peripheral.

    Attributes:
        match: what the settings find it by; another one is another device.
        streams: the keys that it has published, by kind.
        facts: what it has said about itself.
    """

    model_config = ConfigDict(defer_build=True)

    match: str
    streams: dict[str, list[str]] = Field(default_factory=dict[str, list[str]])
    facts: dict[str, Any] = Field(default_factory=dict[str, Any])


class _Document(BaseModel):
    model_config = ConfigDict(defer_build=True)

    topics: dict[str, dict[str, str]] = Field(default_factory=dict[str, dict[str, str]])
    peripherals: dict[str, Seen] = Field(default_factory=dict[str, Seen])


class Announced:
    """Topics that are not empty, and peripherals that are known.

    Attributes:
        topics: the entities that Home Assistant may know of each: platforms by component id.
        peripherals: by id.
    """

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = StateFile(folder / FILE_NAME, "announcements")
        self._kept = _read(self._file.read())
        self.topics = self._kept.topics
        self.peripherals = self._kept.peripherals
        self._written = self._kept.model_dump()

    async def save(self) -> None:
        """Write what has changed, if anything has."""
        document = self._kept.model_dump()
        if document != self._written:
            self._written = document
            await self._file.keep(document)


def _read(document: Any) -> _Document:
    try:
        return _Document() if document is None else _Document.model_validate(document)
    except ValueError:
        return _Document()
