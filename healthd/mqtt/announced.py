"""What has been announced to Home Assistant, kept across restarts.

Home Assistant keeps an entity that is merely left out of an announcement, and a device whose topic
is never cleared. So both are recorded until the broker has acknowledged their removal. The keys
that a device has published are recorded too, so that the next start announces all its entities.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from healthd.host.state_file import StateFile
from healthd.mqtt.topics import is_valid

FILE_NAME = "announced.json"


class Seen(BaseModel):
    """What has been seen of a peripheral.

    Attributes:
        match: what identifies it in the settings; if that changes, it is another device.
        streams: the keys that it has published, by kind.
        facts: what it has reported about itself.
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
    """The topics of announcements that are not cleared, and the peripherals seen so far.

    Attributes:
        topics: by topic, the entities that Home Assistant may know: platforms by component id.
        peripherals: by id.
    """

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = StateFile(folder / FILE_NAME, "announcements")
        self._document = _read(self._file.read())
        self.topics = self._document.topics
        self.peripherals = self._document.peripherals
        self._written = self._document.model_dump()

    async def save(self) -> None:
        """Write the file if anything has changed."""
        document = self._document.model_dump()
        if document != self._written:
            self._written = document
            await self._file.keep(document)


def _read(document: Any) -> _Document:
    try:
        read = _Document() if document is None else _Document.model_validate(document)
    except ValueError:
        return _Document()
    # The file may have been edited, or is an older one, without a checksum.
    read.topics = {topic: known for topic, known in read.topics.items() if is_valid(topic)}
    return read
