"""What each peripheral has left at the broker, kept over restarts: it forgets nothing by itself.

A retained topic stays there for ever, also of a peripheral that was taken out of the settings while
healthd was down, and a gateway that only publishes cannot ask what there is. So each topic is
remembered from when something is retained there until the broker has been told to forget it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

from healthd.host.state_file import StateFile

FILE_NAME = "retained.json"


class Traces:
    """The topics that may not be empty, by peripheral."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = StateFile(folder / FILE_NAME, "retained topics")
        self._topics = _read(self._file.read())
        self._here: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, peripheral: str, *topics: str) -> None:
        """A peripheral of the settings; something will stand at these topics from now on."""
        self._here.add(peripheral)
        for topic in topics:
            self.note_retained(peripheral, topic)

    def note_retained(self, peripheral: str, topic: str) -> bool:
        """Whether something may be retained at this topic; if so, it will be.

        Nothing may of one that is not in the settings any more: a result of its that was delivered
        late would stay there.
        """
        if peripheral not in self._here:
            return False
        known = self._topics.setdefault(peripheral, [])
        if topic not in known:
            known.append(topic)
            self._changed.set()
        return True

    def remove(self, peripheral: str) -> list[str]:
        """A peripheral that is in the settings no more: the topics that are to be emptied."""
        self._here.discard(peripheral)
        return list(self._topics.get(peripheral, ()))

    def forget(self, peripheral: str, topic: str) -> None:
        """The broker keeps nothing there any more."""
        known = self._topics.get(peripheral, [])
        if topic in known:
            known.remove(topic)
            self._changed.set()
        if not known:
            self._topics.pop(peripheral, None)

    def strangers(self) -> Collection[str]:
        """Those who have left something and are not in the settings."""
        return self._topics.keys() - self._here

    async def keep(self) -> None:
        """Write what has changed, if anything has."""
        if self._changed.is_set():
            self._changed.clear()
            await self._file.keep(self._topics)

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Write what changes, as it does."""
        mark_healthy()
        while True:
            await self._changed.wait()
            await self.keep()


def _read(document: Any) -> dict[str, list[str]]:
    try:
        return {who: list(_topics(known)) for who, known in document.items()}
    except (TypeError, AttributeError):
        return {}


def _topics(known: Any) -> Iterator[str]:
    for topic in known:
        # What somebody else wrote here must not become a topic that ends every connection.
        if isinstance(topic, str) and "/" in topic and not {"#", "+"} & set(topic):
            yield topic
