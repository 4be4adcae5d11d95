"""One peripheral's life, from searching to the fault that ends it."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NoReturn, Protocol

from healthd.central.faults import (
    CharacteristicMissing,
    LinkFault,
    LinkLost,
    NothingToRead,
    NotificationStalled,
    NotTried,
    Remedy,
    ServicesForgotten,
    TakesRadioDown,
)
from healthd.central.link import Advertisement, Link
from healthd.central.match import Match
from healthd.central.opening import Openings
from healthd.central.radio import Radio
from healthd.errors import Transient
from healthd.log import get_logger
from healthd.profiles.characteristic import Characteristic, Options, Profile, Use
from healthd.profiles.quirks import to_be_read_before
from healthd.profiles.registry import Registry


class State(StrEnum):
    """Where a session is."""

    DISABLED = "disabled"
    SEARCHING = "searching"
    CONNECTING = "connecting"
    PREPARING = "preparing"
    STREAMING = "streaming"
    WAITING = "waiting"


class Observer(Protocol):
    """What a session reports to. Called in the event loop; must not block."""

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """The session entered ``state``; ``reason`` says why it waits."""
        ...

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """A new link stands, to a device of this name with these profiles."""
        ...

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """A characteristic was notified or read; a control point answered, or is written to."""
        ...


class Session:
    """Keeps one peripheral's characteristics flowing for as long as one link lasts."""

    def __init__(
        self,
        match: Match,
        radio: Radio,
        registry: Registry,
        observer: Observer,
        silence_s: float | None = None,
        options: Options | None = None,
    ) -> None:
        """Prepare.

        Args:
            match: which peripheral.
            radio: finds and links it.
            registry: what healthd reads.
            observer: is told of everything.
            silence_s: replaces the silence deadline of every stream that has one.
            options: what the settings say to its profiles.
        """
        self._match = match
        self._radio = radio
        self._registry = registry
        self._observer = observer
        self._silence_s = silence_s
        self._options = options or Options()
        self._log = get_logger(peripheral=match.peripheral)
        self._last_value: dict[str, float] = {}
        self._known: frozenset[str] = frozenset()
        self._refreshed = False
        self._took_radio_down = 0

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Search, connect, prepare, stream. Ends only by raising.

        Raises:
            LinkFault: the link ended, fell silent, or could not be made.
        """
        try:
            self._enter(State.SEARCHING)
            async with self._radio.found(self._match) as found:
                losses, streams = self._radio.losses, False
                try:
                    self._enter(State.CONNECTING)
                    async with self._radio.link(found) as link:
                        self._enter(State.PREPARING)
                        profiles = await self._prepare(link, found)
                        self._refreshed, self._took_radio_down = False, 0
                        self._enter(State.STREAMING)
                        streams = True
                        mark_healthy()
                        await self._stream(link, profiles)
                except LinkFault as fault:
                    if not streams:
                        self._suspect(fault, losses)
                    if fault.remedy is Remedy.REFRESH:
                        await self._refresh(found, fault)
                    raise
        except asyncio.CancelledError:
            self._enter(State.DISABLED)
            raise
        except Exception as error:
            reason = error.reason if isinstance(error, Transient) else "bug"
            self._enter(State.WAITING, reason)
            raise

    def _enter(self, state: State, reason: str | None = None) -> None:
        # Why it waits is the supervisor's line; passing states matter to those who debug.
        passing = state in (State.CONNECTING, State.PREPARING, State.WAITING)
        (self._log.debug if passing else self._log.info)("state", state=state.value)
        self._observer.on_state(self._match.peripheral, state, reason)

    def _suspect(self, fault: LinkFault, losses: int) -> None:
        """The radio went away while the link was made: once is chance, the next time is not."""
        if isinstance(fault, NotTried):
            return
        if losses == self._radio.losses:
            self._took_radio_down = 0
            return
        self._took_radio_down += 1
        if self._took_radio_down > 1:
            raise TakesRadioDown(self._took_radio_down, fault) from fault

    async def _refresh(self, found: Advertisement, fault: LinkFault) -> None:
        """Have the services discovered anew, once; the second time the fault is the device's."""
        if self._refreshed:
            return
        self._refreshed = True
        if await self._radio.forget(found):
            raise ServicesForgotten(fault) from fault

    async def _prepare(self, link: Link, found: Advertisement) -> list[Profile]:
        peripheral, registry = self._match.peripheral, self._registry
        services = [registry.service(uuid) for uuid in sorted(link.services)]
        profiles = [one for one in services if one is not None]
        self._observer.on_linked(peripheral, found.name, [one.name for one in profiles])
        wanted = [
            one for uuid, one in registry.characteristics.items() if uuid in link.characteristics
        ]
        streams = [one for one in wanted if one.use is Use.STREAM and link.can_notify(one.uuid)]
        states = [one for one in wanted if one.use is Use.STATUS]
        if not streams and not states:
            raise NothingToRead
        uuids = frozenset(one.uuid for one in streams)
        if (missing := self._known - uuids) and not self._refreshed:
            raise CharacteristicMissing(missing)
        self._known = uuids
        self._last_value.clear()
        first = to_be_read_before({one.uuid for one in wanted})
        facts = [one for one in wanted if one.use is Use.STATIC]
        for one in facts:
            if one.uuid in first:
                await self._read(link, one)
        for one in streams:
            await self._subscribe(link, one)
        for one in facts:
            if one.uuid not in first:
                await self._read(link, one)
        for one in states:
            # Read first: BlueZ reports a read of a subscribed characteristic as a notification.
            await self._read(link, one)
            if link.can_notify(one.uuid):
                await self._subscribe(link, one)
        return profiles

    async def _subscribe(self, link: Link, one: Characteristic) -> None:
        self._last_value[one.uuid] = time.monotonic()
        await link.subscribe(one.uuid, partial(self._on_value, one))

    async def _read(self, link: Link, one: Characteristic) -> None:
        try:
            value = await link.read(one.uuid)
        except LinkLost:
            raise
        except LinkFault as fault:
            # One value that cannot be read is no reason to give up those that stream.
            self._log.debug("not readable", characteristic=one.uuid, reason=fault.reason)
        else:
            self._observer.on_value(self._match.peripheral, one, value)

    def _on_value(self, one: Characteristic, value: bytes) -> None:
        self._last_value[one.uuid] = time.monotonic()
        self._observer.on_value(self._match.peripheral, one, value)

    async def _stream(self, link: Link, profiles: list[Profile]) -> None:
        """Open the profiles beside the watch: values flow meanwhile, and may fall silent."""
        tell = partial(self._observer.on_value, self._match.peripheral)
        openings = Openings(link, self._match.peripheral, self._options, tell, self._last_value)
        tasks = [
            asyncio.ensure_future(openings.run(profiles, self._registry)),
            asyncio.ensure_future(self._watch(link)),
        ]
        try:
            # The watch ends only by raising, so this is also what it waits for.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await openings.close()

    async def _watch(self, link: Link) -> NoReturn:
        """Wait for the link to end, or for a stream to stay silent past its deadline."""
        deadlines = {
            uuid: self._silence_s or one.silence_s
            for uuid, one in self._registry.characteristics.items()
            if uuid in self._last_value and one.silence_s is not None
        }
        while True:
            now = time.monotonic()
            silences = {uuid: now - self._last_value[uuid] for uuid in deadlines}
            for uuid, silent_s in silences.items():
                if silent_s >= deadlines[uuid]:
                    raise NotificationStalled(uuid, silent_s)
            wait_s = min((deadlines[u] - silences[u] for u in deadlines), default=None)
            try:
                async with asyncio.timeout(wait_s):
                    await link.lost()
            except TimeoutError:
                continue
