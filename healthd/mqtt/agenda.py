"""When each announcement is due."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

from healthd.supervision.deadline import timeout_at


class Due(NamedTuple):
    """What is due now.

    Attributes:
        devices: those with something new to announce.
        repeats: topics whose announcement is to be sent once more.
    """

    devices: list[str]
    repeats: list[str]


class Agenda:
    """The next time of each device and of each topic, by the event loop's clock."""

    def __init__(self) -> None:
        """Start with nothing due."""
        self._devices: dict[str, float] = {}
        self._repeats: dict[str, float] = {}
        self._changed = asyncio.Event()

    def plan(self, device: str, delay_s: float) -> None:
        """Announce a device after this delay, or earlier if that was planned."""
        when = asyncio.get_running_loop().time() + delay_s
        self._devices[device] = min(when, self._devices.get(device, when))
        self._changed.set()

    def postpone(self, device: str, delay_s: float) -> None:
        """Announce a device after this delay, whatever was planned."""
        self._devices.pop(device, None)
        self.plan(device, delay_s)

    def repeat(self, topic: str, delay_s: float) -> None:
        """Return to a topic after this delay, whatever was planned for it."""
        self._repeats[topic] = asyncio.get_running_loop().time() + delay_s
        self._changed.set()

    def repeats(self, topic: str) -> bool:
        """Return whether this topic is still to be repeated."""
        return topic in self._repeats

    def keep(self, *devices: str) -> None:
        """Forget the plans for all devices but these; repeats remain."""
        self._devices = {one: when for one, when in self._devices.items() if one in devices}

    async def next(self) -> Due:
        """Wait until something is due, and return all of it, in the order of the plans."""
        while True:
            if any(due := Due(_pop_due(self._devices), _pop_due(self._repeats))):
                return due
            self._changed.clear()
            first = min((*self._devices.values(), *self._repeats.values()), default=None)
            with suppress(TimeoutError):
                async with timeout_at(first, 0):
                    await self._changed.wait()


def _pop_due(times: dict[str, float]) -> list[str]:
    now = asyncio.get_running_loop().time()
    due = [key for key, when in times.items() if when <= now]
    for key in due:
        del times[key]
    return due
