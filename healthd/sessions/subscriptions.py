"""What a session reads from one peripheral: subscribed, read once, and checked for silence."""

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
from healthd.supervision.deadline import timeout_at

Explain = Callable[[Advertisement, LinkFault], Awaitable[LinkFault]]


class Values(Protocol):
    """Receives links and values. Called in the event loop; must not block."""

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """Handle a new link to a device with this name and these profiles."""
        ...

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Handle a value that was notified or read, or a message to or from a control point."""
        ...


class Subscriptions:
    """Reads one peripheral, on one link after the other.

    Attributes:
        heard: when each subscribed characteristic of this link sent its last value, by the
            monotonic clock; before the first value, when it was subscribed.
        last_value_at: when any stream of this link sent its last value; None before the first one.
        facts: the static values that were read on this link, by UUID.
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
            observer: receives links and values.
            explain: returns what a refusal means, taking the device's bond into account.
            listeners: by UUID, what is called with notified values in addition to the observer.
        """
        self.heard: dict[str, float] = {}
        self.facts: dict[str, bytes] = {}
        self.last_value_at: float | None = None
        self._peripheral = peripheral
        self._registry = registry
        self._observer = observer
        self._explain = explain
        self._listeners = listeners or {}
        self._bond_fault_logged = False
        self._known: frozenset[str] = frozenset()
        self._log = get_logger(peripheral=peripheral)

    async def prepare(self, link: Link, name: str | None, *, refreshed: bool) -> list[Profile]:
        """Subscribe to and read what the device has; return its profiles.

        Args:
            link: a new link.
            name: the advertised name of the device.
            refreshed: whether its services were just discovered again, so that a characteristic
                that is missing now is really missing.

        Raises:
            LinkFault: there is nothing to read or less than before, or the link ended.
        """
        registry = self._registry
        self.heard.clear()
        self.facts.clear()
        self.last_value_at = None
        services = [registry.service(uuid) for uuid in sorted(link.services)]
        profiles = [profile for profile in services if profile is not None]
        names = [profile.name for profile in profiles]
        self._observer.on_linked(self._peripheral, name, names)
        wanted = [
            characteristic
            for uuid, characteristic in registry.characteristics.items()
            if uuid in link.characteristics
        ]
        streams = [
            characteristic
            for characteristic in wanted
            if characteristic.use is Use.STREAM and link.can_notify(characteristic.uuid)
        ]
        states = [characteristic for characteristic in wanted if characteristic.use is Use.STATUS]
        if not streams and not states:
            raise NothingToRead
        uuids = frozenset(characteristic.uuid for characteristic in streams)
        if (missing := self._known - uuids) and not refreshed:
            raise CharacteristicMissing(missing)
        self._known = uuids
        await self._begin(link, wanted, streams)
        for state in states:
            # Read first: BlueZ reports a read of a subscribed characteristic as a notification.
            await self._read(link, state)
            if link.can_notify(state.uuid):
                await self._subscribe(link, state)
        return profiles

    async def watch(self, link: Link, silence_s: float | None) -> NoReturn:
        """Wait until the link ends or a stream is silent past its deadline.

        Args:
            link: the link that was prepared.
            silence_s: replaces the deadline of every stream that has one.

        Raises:
            LinkFault: always; the end of the link, or ``NotificationStalled``.
        """
        deadlines = {
            uuid: silence_s or characteristic.silence_s
            for uuid, characteristic in self._registry.characteristics.items()
            if uuid in self.heard and characteristic.silence_s is not None
        }
        while True:
            ends = {uuid: self.heard[uuid] + silence_s for uuid, silence_s in deadlines.items()}
            try:
                async with timeout_at(min(ends.values(), default=None)):
                    await link.lost()
            except TimeoutError:
                self._check_silence(deadlines)

    def _check_silence(self, deadlines: Mapping[str, float]) -> None:
        now = time.monotonic()
        for uuid, silence_s in deadlines.items():
            silent_s = now - self.heard[uuid]
            if silent_s >= silence_s:
                raise NotificationStalled(uuid, silent_s)

    async def _begin(
        self, link: Link, wanted: list[Characteristic], streams: Iterable[Characteristic]
    ) -> None:
        first = to_be_read_before({characteristic.uuid for characteristic in wanted})
        facts = [characteristic for characteristic in wanted if characteristic.use is Use.STATIC]
        for fact in facts:
            if fact.uuid in first:
                await self._read(link, fact)
        for stream in streams:
            await self._subscribe(link, stream)
        for fact in facts:
            if fact.uuid not in first:
                await self._read(link, fact)

    async def _subscribe(self, link: Link, characteristic: Characteristic) -> None:
        self.heard[characteristic.uuid] = time.monotonic()
        on_value = partial(self._on_value, characteristic)
        if listener := self._listeners.get(characteristic.uuid):
            on_value = partial(_both, on_value, listener)
        await link.subscribe(characteristic.uuid, on_value)

    async def _read(self, link: Link, characteristic: Characteristic) -> None:
        uuid = characteristic.uuid
        try:
            value = await link.read(uuid)
        except LinkLost:
            raise
        except LinkFault as fault:
            if fault.remedy is Remedy.BOND:
                await self._log_bond_fault(link, fault)
            # A value that cannot be read is no reason to give up the streams.
            self._log.debug("characteristic not readable", characteristic=uuid, reason=fault.reason)
        else:
            if characteristic.use is Use.STATIC:
                self.facts[uuid] = value
            self._observer.on_value(self._peripheral, characteristic, value)

    async def _log_bond_fault(self, link: Link, fault: LinkFault) -> None:
        """Log, only once, how to get the values that require pairing."""
        if not self._bond_fault_logged:
            self._bond_fault_logged = True
            explained = await self._explain(link.found, fault)
            self._log.warning(
                "characteristic not readable", reason=explained.reason, error=str(explained)
            )

    def _on_value(self, characteristic: Characteristic, value: bytes) -> None:
        self.heard[characteristic.uuid] = now = time.monotonic()
        if characteristic.use is Use.STREAM:
            self.last_value_at = now
        self._observer.on_value(self._peripheral, characteristic, value)


def _both(first: Callable[[bytes], None], second: Callable[[bytes], None], value: bytes) -> None:
    first(value)
    second(value)
