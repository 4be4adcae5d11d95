"""Reloads the settings of a running daemon; bad settings change nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from healthd.errors import Fatal
from healthd.gateway.peripherals import Difference
from healthd.host.in_thread import run_in_thread
from healthd.log import configure, get_logger
from healthd.settings.model import LISTS, Settings, known_keys
from healthd.settings.problems import log_problems
from healthd.supervision.notify import Manager

# The keys that can change without a restart. All others are built into the daemon's parts.
_IN_PLACE: Mapping[str, frozenset[str]] = {
    "mqtt": frozenset(
        {
            "brokers",
            "version",
            "client_id",
            "username",
            "password_file",
            "tls",
            "ca_file",
            "cert_file",
            "key_file",
            "alpn",
            "retain",
            "requests",
            "discovery",
        }
    ),
    "log": frozenset({"level"}),
    "capture": frozenset({"peripherals", "max_size"}),
}

FILES_TIMEOUT_S = 10.0
"""How long reading the files of the settings may take: a disk or a network may hang."""

_KEPT = "healthd keeps its current settings"

_RESTART = "sudo systemctl restart healthd"


class Source(NamedTuple):
    """Where new settings come from.

    Attributes:
        requested: set to request a reload; cleared when it begins.
        read: reads the settings; raises Fatal if they are bad. Called in a thread.
    """

    requested: asyncio.Event
    read: Callable[[], Settings]


Apply = Callable[[Settings], Awaitable[Difference]]
"""Applies settings; raises Fatal and changes nothing if a file that they name cannot be used."""


class Reload:
    """Applies new settings, as far as that is possible without a restart."""

    def __init__(self, settings: Settings, apply: Apply, manager: Manager) -> None:
        """Start with the daemon's first settings.

        Args:
            settings: what the daemon runs with.
            apply: makes the daemon run with other settings.
            manager: notified of the beginning and the end of each reload.
        """
        self._running = settings
        self._apply = apply
        self._manager = manager
        self._log = get_logger(service="reload")

    async def run(self, source: Source | None) -> None:
        """Reload whenever it is requested; an error ends that reload only.

        Returns at once if there is no source.
        """
        while source is not None:
            await source.requested.wait()
            source.requested.clear()
            self._manager.reloading()
            try:
                await self._reload(source)
            except TimeoutError:
                error = f"a file could not be read within {FILES_TIMEOUT_S:.0f} s"
                self._log.error("not reloaded", error=error, hint=_KEPT)
            except Fatal as error:
                log_problems(error, "reload again when it is there")
                self._log.error("not reloaded", hint=_KEPT)
            except Exception as error:
                self._log.exception("crashed", exc_info=error)
            self._manager.reloaded()

    async def _reload(self, source: Source) -> None:
        # In a thread: a busy event loop would stamp samples late.
        read = await run_in_thread(source.read, FILES_TIMEOUT_S)
        settings, postponed = in_place(self._running, read)
        change = await self._apply(settings)
        if settings.log != self._running.log:
            configure(settings.log.level)
        self._running = settings
        for key in postponed:
            self._log.warning("needs a restart", key=key, hint=_RESTART)
        self._log.info("reloaded", **change._asdict() | {"unchanged": len(change.unchanged)})


def in_place(running: Settings, read: Settings) -> tuple[Settings, list[str]]:
    """Return what a running daemon can apply of new settings.

    Args:
        running: what it runs with.
        read: the new settings.

    Returns:
        ``read``, but with the values of ``running`` for the keys that need a restart, and the names
        of those keys whose values differ.
    """
    sections: dict[str, Any] = {}
    keys: list[str] = []
    for section in Settings.model_fields.keys() - LISTS:
        before, after = getattr(running, section), getattr(read, section)
        kept = {
            key: getattr(before, key)
            for key in known_keys((section,))
            if key not in _IN_PLACE.get(section, ()) and getattr(before, key) != getattr(after, key)
        }
        sections[section] = after.model_copy(update=kept)
        keys += [f"{section}.{key}" for key in kept]
    return read.model_copy(update=sections), sorted(keys)
