"""What a session reads of one peripheral: subscribed, read once, and watched for silence."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import NoReturn, Protocol

from healthd.central.faults import LinkFault, LinkLost, Remedy
from healthd.central.link import Advertisement, Link
from healthd.log import get_logger
from healthd.profiles.characteristic import Characteristic, Profile, Use
from healthd.profiles.quirks import to_be_read_before
from healthd.profiles.registry import Registry
from healthd.sessions.faults import CharacteristicMissing, NothingToRead, NotificationStalled

Explain = Callable[[Advertisement, LinkFault], Awaitable[LinkFault]]


class Values(Protocol):
    """Who is told of links and values. Called in the event loop; must not block."""

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """A new link stands, to a device of this name with these profiles."""
        ...

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """A characteristic was notified or read; a control point answered, or is written to."""
        ...


class Subscriptions:
    """Reads one peripheral, link after link.

    Attributes:
        heard: when each subscribed characteristic of this link sent its last value, by the
            monotonic clock; at first, when it was subscribed.
        spoke: when any stream of this link sent its last value; None before the first one.
        facts: what the device said of itself on this link, by UUID.
    """

    def __init__(
        self,
        peripheral: str,
        registry: Registry,
        observer: Values,
        explain: Explain,
        listeners: Mapping[str, Callable[[bytes], None]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            registry: what healthd reads.
            observer: is told of everything.
            explain: says what a refusal means, the device's bond considered.
            listeners: by UUID, who is told beside the observer of what is notified.
        """
        self.heard: dict[str, float] = {}
        self.facts: dict[str, bytes] = {}
        self.spoke: float | None = None
        self._peripheral = peripheral
        self._registry = registry
        self._observer = observer
        self._explain = explain
        self._listeners = listeners or {}
        self._told_bond = False
        self._known: frozenset[str] = frozenset()
        self._log = get_logger(peripheral=peripheral)

    async def prepare(self, link: Link, name: str | None, *, refreshed: bool) -> list[Profile]:
        """Subscribe and read what there is; the profiles that it belongs to.

        Args:
            link: a new one.
            name: what the device is advertised as.
            refreshed: its services were just discovered anew, so what is missing is missing.

        Raises:
            LinkFault: there is nothing to read, less than before, or the link ended.
        """
        registry = self._registry
        self.heard.clear()
        self.facts.clear()
        self.spoke = None
        services = [registry.service(uuid) for uuid in sorted(link.services)]
        profiles = [one for one in services if one is not None]
        self._observer.on_linked(self._peripheral, name, [one.name for one in profiles])
        wanted = [
            one for uuid, one in registry.characteristics.items() if uuid in link.characteristics
        ]
        streams = [one for one in wanted if one.use is Use.STREAM and link.can_notify(one.uuid)]
        states = [one for one in wanted if one.use is Use.STATUS]
        if not streams and not states:
            raise NothingToRead
        uuids = frozenset(one.uuid for one in streams)
        if (missing := self._known - uuids) and not refreshed:
            raise CharacteristicMissing(missing)
        self._known = uuids
        await self._begin(link, wanted, streams)
        for one in states:
            # Read first: BlueZ reports a read of a subscribed characteristic as a notification.
            await self._read(link, one)
            if link.can_notify(one.uuid):
                await self._subscribe(link, one)
        return profiles

    async def watch(self, link: Link, silence_s: float | None) -> NoReturn:
        """Wait for the link to end, or for a stream to stay silent past its deadline.

        Args:
            link: the one that was prepared.
            silence_s: replaces the deadline of every stream that has one.
        """
        deadlines = {
            uuid: silence_s or one.silence_s
            for uuid, one in self._registry.characteristics.items()
            if uuid in self.heard and one.silence_s is not None
        }
        while True:
            wait_s = self._silence_left(deadlines)
            try:
                async with asyncio.timeout(wait_s):
                    await link.lost()
            except TimeoutError:
                continue

    def _silence_left(self, deadlines: Mapping[str, float]) -> float | None:
        now = time.monotonic()
        silences = {uuid: now - self.heard[uuid] for uuid in deadlines}
        for uuid, silent_s in silences.items():
            if silent_s >= deadlines[uuid]:
                raise NotificationStalled(uuid, silent_s)
        return min((deadlines[one] - silences[one] for one in deadlines), default=None)

    async def _begin(
        self, link: Link, wanted: list[Characteristic], streams: Iterable[Characteristic]
    ) -> None:
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

    async def _subscribe(self, link: Link, one: Characteristic) -> None:
        self.heard[one.uuid] = time.monotonic()
        told = partial(self._on_value, one)
        if listener := self._listeners.get(one.uuid):
            told = partial(_both, told, listener)
        await link.subscribe(one.uuid, told)

    async def _read(self, link: Link, one: Characteristic) -> None:
        try:
            value = await link.read(one.uuid)
        except LinkLost:
            raise
        except LinkFault as fault:
            if fault.remedy is Remedy.BOND:
                await self._tell_bond(link, fault)
            # One value that cannot be read is no reason to give up those that stream.
            self._log.debug(
                "characteristic not readable", characteristic=one.uuid, reason=fault.reason
            )
        else:
            if one.use is Use.STATIC:
                self.facts[one.uuid] = value
            self._observer.on_value(self._peripheral, one, value)

    async def _tell_bond(self, link: Link, fault: LinkFault) -> None:
        """Say once how to have what is read only by those who are paired."""
        if not self._told_bond:
            self._told_bond = True
            told = await self._explain(link.found, fault)
            self._log.warning("characteristic not readable", reason=told.reason, error=str(told))

    def _on_value(self, one: Characteristic, value: bytes) -> None:
        self.heard[one.uuid] = now = time.monotonic()
        if one.use is Use.STREAM:
            self.spoke = now
        self._observer.on_value(self._peripheral, one, value)


def _both(first: Callable[[bytes], None], second: Callable[[bytes], None], value: bytes) -> None:
    first(value)
    second(value)
