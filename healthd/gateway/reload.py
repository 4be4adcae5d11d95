"""New settings for a daemon that runs: read again when it is asked for; bad ones change nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from healthd.errors import Fatal
from healthd.gateway.peripherals import Difference
from healthd.log import configure, get_logger
from healthd.settings.file import log_problems
from healthd.settings.model import Settings, known_keys
from healthd.supervision.notify import Manager

# What can change in place. Everything else is built into the daemon's parts when they are made.
_IN_PLACE: Mapping[str, frozenset[str]] = {
    "mqtt": frozenset(
        {
            "brokers",
            "version",
            "username",
            "password_file",
            "tls",
            "ca_file",
            "cert_file",
            "key_file",
            "requests",
            "discovery",
        }
    ),
    "log": frozenset({"level"}),
}

_RESTART = "sudo systemctl restart healthd"


class Source(NamedTuple):
    """Where new settings come from.

    Attributes:
        asked: set by whoever wants them read; cleared when that begins.
        read: reads them; raises Fatal where they are bad. Called in a thread.
    """

    asked: asyncio.Event
    read: Callable[[], Settings]


Apply = Callable[[Settings], Awaitable[Difference]]
"""Takes settings over; raises Fatal, and changes nothing, where a file that they name is bad."""


class Reload:
    """Takes new settings over, as far as that can be done in place."""

    def __init__(self, settings: Settings, apply: Apply, manager: Manager) -> None:
        """Wire it.

        Args:
            settings: those that the daemon runs with.
            apply: makes the daemon run with others.
            manager: is told meanwhile.
        """
        self._running = settings
        self._apply = apply
        self._manager = manager
        self._log = get_logger(service="reload")

    async def run(self, source: Source | None) -> None:
        """Reload whenever it is asked for; whatever goes wrong is the end of that alone.

        Returns where there is nothing to read settings from.
        """
        while source is not None:
            await source.asked.wait()
            source.asked.clear()
            self._manager.reloading()
            try:
                await self._reload(source)
            except Fatal as error:
                log_problems(error)
                self._log.error("not reloaded", hint="healthd goes on with the settings it has")
            except Exception as error:
                self._log.exception("crashed", exc_info=error)
            self._manager.reloaded()

    async def _reload(self, source: Source) -> None:
        # In a thread: samples are stamped when the event loop gets to them.
        read = await asyncio.to_thread(source.read)
        settings, kept = in_place(self._running, read)
        change = await self._apply(settings)
        if settings.log != self._running.log:
            configure(settings.log.level)
        self._running = settings
        for key in kept:
            self._log.warning("needs a restart", key=key, hint=_RESTART)
        self._log.info("reloaded", **change._asdict() | {"unchanged": len(change.unchanged)})


def in_place(running: Settings, read: Settings) -> tuple[Settings, list[str]]:
    """What of the settings that were read can be taken over by a daemon that runs.

    Args:
        running: what it runs with.
        read: what it is to run with.

    Returns:
        ``read`` with the values of ``running`` at the keys that need a restart, and those of these
        keys at which the two differ.
    """
    sections: dict[str, Any] = {}
    keys: list[str] = []
    for section in Settings.model_fields.keys() - {"peripherals"}:
        before, after = getattr(running, section), getattr(read, section)
        kept = {
            key: getattr(before, key)
            for key in known_keys((section,))
            if key not in _IN_PLACE.get(section, ()) and getattr(before, key) != getattr(after, key)
        }
        sections[section] = after.model_copy(update=kept)
        keys += [f"{section}.{key}" for key in kept]
    return read.model_copy(update=sections), sorted(keys)
