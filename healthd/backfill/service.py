"""The parts of ``healthd hass-backfill``, built and wired."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from healthd.backfill.hass import HomeAssistant
from healthd.backfill.reading import Reader
from healthd.backfill.receiving import LeftOuts, Receiver
from healthd.backfill.rounds import Rounds
from healthd.backfill.series import kinds
from healthd.backfill.store import Store
from healthd.errors import Fatal
from healthd.host.folders import state_folder
from healthd.host.time_zone import LocalZone
from healthd.log import get_logger
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.topics import Topics
from healthd.profiles.registry import Registry
from healthd.settings.model import Settings
from healthd.settings.secret_files import hass_token
from healthd.supervision.supervisor import ServiceGroup, Supervisor

# Long enough for a machine that is repaired, or on holiday.
_SESSION_S = 30 * 86400

# An hour is imported five minutes after its end at the earliest: a minute more does not matter.
_ROUND_EVERY_S = 60.0

# What is still missing after this time does not arrive any more. A gateway delivers what it has
# stored in minutes, once it reaches the broker; until then it sends nothing that is newer.
_MISSING_S = 3600.0

# The broker sends what it has kept without pauses.
_IDLE_S = 3.0


class Backfill:
    """Receives the samples of one gateway and imports them."""

    def __init__(self, settings: Settings, registry: Registry, environ: Mapping[str, str]) -> None:
        """Open the store.

        Raises:
            Fatal: settings are missing, or the store cannot be used.
        """
        self._settings = settings
        self._environ = environ
        self._log = get_logger(service="hass-backfill")
        if settings.hass.url is None:
            raise Fatal("hass.url: missing; expected the address of Home Assistant")
        self._url = settings.hass.url
        gateway = settings.gateway.id
        folder = state_folder(settings.outbox.directory, environ)
        known = kinds(registry)
        self._store = Store(folder / f"hass-backfill-{gateway}.sqlite3", gateway)
        self._reader = Reader(known, settings.mqtt.prefix, gateway, LocalZone(environ))
        self._left_out = LeftOuts()
        self._rounds = Rounds(
            self._store,
            known,
            gateway,
            self._home_assistant,
            entities=settings.hass.entities,
            replace=settings.hass.replace,
        )

    def _home_assistant(self) -> HomeAssistant:
        # Read for each connection: a new token needs no restart.
        return HomeAssistant(self._url, hass_token(self._settings.hass, self._environ))

    async def run(self, stop: asyncio.Event) -> None:
        """Receive and import until ``stop`` is set."""
        log = self._log
        live, history = self._receiver("live", "+/+"), self._receiver("history", "+/+/history")
        try:
            async with ServiceGroup(Supervisor(random.Random())) as services:
                services.start("live", live.run, log)
                services.start("history", history.run, log)
                services.start("rounds", partial(self._keep_importing, history.received), log)
                await stop.wait()
                services.cancel("live", "history", "rounds")
        finally:
            self._store.close()

    async def once(self) -> bool:
        """Import the late samples that wait at the broker; return whether all hours are imported.

        Raises:
            Transient: the broker or Home Assistant cannot be reached.
        """
        try:
            receiver = self._receiver("history", "+/+/history")
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(receiver.run(), name="history")
                await receiver.subscribed.wait()
                await _idle(receiver.received)
                receiving.cancel()
            self._left_out.log()
            self._log_missing()
            return await self._rounds.run()
        finally:
            self._store.close()

    def _receiver(self, name: str, levels: str) -> Receiver:
        """Return the receiver of live samples or of late ones.

        Each has its own session: live samples that wait at the broker must not fill a queue in
        which late ones have no place then.
        """
        settings, gateway = self._settings, self._settings.gateway.id
        topics = Topics(settings.mqtt.prefix, gateway)
        broker = endpoints(settings, topics, self._environ)[0]
        client = settings.mqtt.client_id or f"healthd-hass-backfill-{gateway}"
        endpoint = replace(
            broker, client_id=f"{client}-{name}", will_topic=None, session_s=_SESSION_S
        )
        return Receiver(
            endpoint,
            f"{settings.mqtt.prefix}/{gateway}/device/{levels}",
            self._store,
            self._reader,
            self._left_out,
            # A live sample is worth no write to the disk of its own, several times a second.
            durable=name == "history",
        )

    async def _keep_importing(self, late: asyncio.Event, mark_healthy: Callable[[], None]) -> None:
        """Import every minute, and soon after late samples.

        Args:
            late: set by late samples.
            mark_healthy: see ``Service``.
        """
        while True:
            await self._rounds.run()
            mark_healthy()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_EVERY_S):
                    await late.wait()
                    await _idle(late)
            self._left_out.log()
            self._log_missing()

    def _log_missing(self) -> None:
        for (peripheral, stream), count in self._store.missing(time.time(), _MISSING_S).items():
            self._log.warning(
                "samples missing",
                peripheral=peripheral,
                stream=stream,
                count=count,
                hint="they are not in the statistics: the broker's queue for this client may have "
                "been full, or healthd has lost them and reports a gap",
            )


async def _idle(received: asyncio.Event) -> None:
    """Return once nothing has been received for a while."""
    while True:
        try:
            async with asyncio.timeout(_IDLE_S):
                await received.wait()
        except TimeoutError:
            return
        received.clear()
