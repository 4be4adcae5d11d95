"""The shared adapter: one scanner for all peripherals, one connect at a time, limited links."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from typing import Protocol

from healthd.central.adapters import Adapters
from healthd.central.airtime import Airtime
from healthd.central.bonds import Bonds
from healthd.central.broadcast import Broadcasts, Receiver
from healthd.central.claims import Claims
from healthd.central.faults import AdapterGone, LinkFault, NotBack, NotTried, Reassigned, Remedy
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends, Link
from healthd.central.match import Match
from healthd.central.recent import Recent
from healthd.central.recovery import Recovery
from healthd.central.scan_loop import ScanLoop
from healthd.central.slots import Slots
from healthd.central.tap import Tap
from healthd.central.taps import Taps
from healthd.central.turns import Turns
from healthd.central.values import Values
from healthd.log import get_logger


class Cleaner(Protocol):
    """Repairs the state of BlueZ around a link."""

    async def forget(self, path: str) -> bool:
        """Make BlueZ forget a device that is not bonded; return whether it did."""
        ...

    def check_devices(self) -> None:
        """Check BlueZ for changed bonds and for links that healthd does not own."""
        ...


class Radio:
    """Finds peripherals for the sessions and makes their links.

    BlueZ and small controllers fail when scans and connects overlap (bleak#1689), so there is
    one scanner, which runs only while a search or a listener needs it and no connect is running.
    ``airtime`` adds up the time of scanning and of links.
    """

    def __init__(
        self,
        backends: Backends,
        slots: Slots,
        adapters: Adapters | None = None,
        recovery: Recovery | None = None,
        bonds: Bonds | None = None,
        *,
        passive: bool = False,
    ) -> None:
        """Prepare.

        Args:
            backends: replacements for the system's Bluetooth.
            slots: limits the number of links.
            adapters: which adapter to use; None if BlueZ is not followed.
            recovery: notified of successes and failures of the adapter.
            bonds: pairs before a link is made, and explains faults; None: never.
            passive: scan passively whenever all that is wanted can be heard in that way.
        """
        self._backends = backends
        self._slots = slots
        self._turns, self.airtime = Turns(slots), Airtime()
        self._adapters = adapters or Adapters()
        self._recovery = recovery or Recovery()
        self._bonds = bonds or Bonds()
        self._cleaner: Cleaner | None = None
        self._searching: dict[Match, asyncio.Future[Advertisement]] = {}
        self._claims, self._recent = Claims(), Recent()
        self._links: set[Link] = set()
        self._loss: tuple[str, AdapterGone] | None = None
        self._values, self._taps = Values(), Taps()
        self._broadcasts, self._interest = Broadcasts(), Interest()
        self._listeners: dict[Callable[[Advertisement], None], frozenset[str]] = {}
        self._connect_lock = asyncio.Lock()
        self._connecting = False
        self._scanner = ScanLoop(
            backends,
            self._adapters,
            self._recovery,
            self.airtime,
            self._interest,
            self._should_scan,
            self._on_advertisement,
        )
        self._scanner.focus.prefers_passive = passive
        self._adapters.attach(self._update, self._lose_links)
        self._log = get_logger(service="radio")

    def attach(self, cleaner: Cleaner) -> None:
        """Use ``cleaner`` from now on; it follows BlueZ for this radio."""
        self._cleaner = cleaner

    def add(self, match: Match) -> None:
        """Add a peripheral, or change how it is recognised.

        If another peripheral with a vaguer description is linked to its device, that link ends.
        """
        given_up = self._claims.add(match)
        for link in self._links:
            if link.found in given_up:
                link.give_up(Reassigned())

    def remove(self, peripheral: str) -> None:
        """Remove a peripheral whose session has ended."""
        self._claims.remove(peripheral)
        self._broadcasts.forget(peripheral)
        self._recent.forget(peripheral)
        self.airtime.forget(peripheral)

    def check_devices(self) -> None:
        """Check the devices that BlueZ already knows, for example after peripherals were added."""
        if self._cleaner is not None:
            self._cleaner.check_devices()

    @property
    def matches(self) -> tuple[Match, ...]:
        """All peripherals, as they are recognised."""
        return self._claims.matches

    @property
    def link_count(self) -> int:
        """How many links exist or are being made."""
        return len(self._links)

    @property
    def linked(self) -> list[Advertisement]:
        """The advertisements of the devices that have a link or are being connected."""
        return [link.found for link in self._links]

    @property
    def losses(self) -> int:
        """How often the adapter, or all of BlueZ, went away."""
        return self._adapters.losses

    @property
    def is_scanning(self) -> bool:
        """Whether the scanner runs."""
        return self._scanner.is_scanning

    def has_device(self, address: str, path: str | None = None) -> bool:
        """Whether a session has, or is making, a link to this device.

        Bonding may change the address during a link; the object in BlueZ stays the same.
        """
        return self._claims.is_claimed(address) or any(
            path is not None and link.path == path for link in self._links
        )

    def on_forgotten(self, path: str) -> None:
        """End the connect to a device that BlueZ has forgotten; ``path`` was its object."""
        for link in self._links:
            if link.path == path:
                link.on_forgotten()

    def waits_for_slot(self, match: Match) -> bool:
        """Whether the peripheral was heard and waits for a slot."""
        return self._slots.is_queued(match.peripheral)

    def rescan(self) -> None:
        """Restart the scanner, if it runs."""
        self._scanner.restart()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Scan whenever it is wanted. Ends only by raising.

        Raises:
            LinkFault: the adapter cannot scan; searches continue when it is run again.
        """
        await self._scanner.run(mark_healthy)

    @contextmanager
    def listening(
        self, listener: Callable[[Advertisement], None], keys: Iterable[str] = ()
    ) -> Generator[None]:
        """Call ``listener`` with every advertisement while the block runs.

        The scanner runs for it, and pauses for connects as usual.

        Args:
            listener: called in the event loop; must not block.
            keys: of the advertised data that it wants; see ``Broadcast.keys``.
        """
        self._listeners[listener] = frozenset(keys)
        self._update()
        try:
            yield
        finally:
            del self._listeners[listener]
            self._update()

    @contextmanager
    def broadcasts(self, match: Match, receiver: Receiver) -> Generator[None]:
        """Pass what the peripheral advertises to ``receiver`` while the block runs.

        The peripheral gets no link and needs no slot. The scanner runs for it, and pauses for
        connects as usual.

        Args:
            match: how the peripheral is recognised, and what is wanted of its advertisements.
            receiver: called in the event loop; must not block.
        """
        try:
            with self._broadcasts.receiving(match, receiver):
                self._update()
                yield
        finally:
            self._update()

    @asynccontextmanager
    async def found(self, match: Match) -> AsyncGenerator[Advertisement]:
        """Wait until the peripheral advertises and a connection slot is free.

        A peripheral whose link has just ended need not be heard first: making the next link shows
        whether it is there. The device stays claimed and the slot occupied while the block runs.
        """
        future: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()
        self._searching[match] = future
        self._offer_recent(match)
        self._update()
        try:
            yield await future
        finally:
            self._searching.pop(match, None)
            self._recent.tried(match)
            self._claims.release(match)
            self._slots.release(match.peripheral)
            self._turns.on_released(match.peripheral)
            self._update()

    @asynccontextmanager
    async def link(self, found: Advertisement) -> AsyncGenerator[Link]:
        """Connect to the peripheral; the link is closed when the block ends, however it ends.

        Raises:
            LinkFault: the connection could not be made.
        """
        link = Link(found, self._values)
        match = self._claims.holder(found)
        try:
            await self._taps.watch(match.peripheral, link, self._open(link, match))
            self._turns.on_linked(match, link)
            with self.airtime.linked(match.peripheral), self._recent.watching(match, found):
                yield link
        finally:
            # In a separate task, so that a cancelled session still closes its link.
            closing = asyncio.create_task(self._close(link), name=f"close {match.peripheral}")
            await asyncio.shield(closing)

    def loss_of(self, found: Advertisement, since: int) -> AdapterGone | None:
        """Return how the adapter of this device went away, if it has since there were so many.

        Args:
            found: the device.
            since: what ``losses`` was then.
        """
        if self._loss is None or self.losses == since:
            return None
        adapter, fault = self._loss
        return fault if adapter == found.adapter else None

    async def explain(self, found: Advertisement, fault: LinkFault) -> LinkFault:
        """Return what a fault of a link to this device means, taking its bond into account."""
        return await self._bonds.explain(self._claims.holder(found).peripheral, found.path, fault)

    async def forget(self, found: Advertisement) -> bool:
        """Make BlueZ forget the device and its services; return False if it has to keep them."""
        cleaner, path = self._cleaner, found.path
        return cleaner is not None and path is not None and await cleaner.forget(path)

    def tap(self, peripheral: str, tap: Tap | None) -> None:
        """Report all about a peripheral to ``tap`` from now on; None: no more.

        A link that exists is joined.
        """
        has_device = self._claims.peripheral_of
        links = [link for link in self._links if has_device(link.found) == peripheral]
        self._taps.use(peripheral, tap, links)
        self._interest.is_tapped = bool(self._taps)

    async def _open(self, link: Link, match: Match) -> None:
        async with self._connect_lock:
            if not self._adapters.usable:
                raise NotTried
            if self._claims.is_contested(match):
                raise Reassigned
            self._connecting = True
            self._links.add(link)
            self._update()
            try:
                await self._scanner.stopped()
                await self._bonds.secure(match.peripheral, link.found.path)
                await link.open(self._backends)
            except LinkFault as fault:
                if link.found.is_recent and fault.reason == "not_found":
                    raise NotBack from fault  # BlueZ has forgotten it meanwhile
                if fault.remedy is Remedy.SUSPECT:
                    self._recovery.failed()
                raise
            else:
                self._recovery.worked()
                self.check_devices()  # the device may have been paired by another program meanwhile
            finally:
                self._connecting = False
                self._recent.tried(match)
                self._update()

    async def _close(self, link: Link) -> None:
        closed = await link.close()
        self._links.discard(link)
        if not closed:
            self.check_devices()

    def _update(self) -> None:
        """Scan for what is wanted now."""
        keys = chain.from_iterable(self._listeners.values())
        self._interest.is_urgent = bool(self._links)
        self._interest.update(
            self._broadcasts.matches, self._searching, keys, everyone=bool(self._listeners)
        )
        self._scanner.update()

    def _on_advertisement(self, found: Advertisement) -> None:
        if self._taps:
            self._taps.report(found, self._claims.matches)
        for listener in tuple(self._listeners):
            listener(found)
        claimed = self.has_device(found.address)
        self._broadcasts.hand_out(found, self._claims.matches, claimed=claimed)
        if claimed:
            return
        # A search that was just cancelled is still listed, but its future is done.
        self._offer(
            found, (match for match, future in self._searching.items() if not future.done())
        )

    def _offer_recent(self, match: Match) -> None:
        """Let the peripheral have the device of its last link again, without a search."""
        if self._connect_lock.locked():
            return
        found = self._recent.take(match)
        if found is not None and not self.has_device(found.address):
            self._offer(found, [match])
        if match in self._searching:
            self._recent.tried(match)  # there is no slot, or another peripheral has the device

    def _offer(self, found: Advertisement, searches: Iterable[Match]) -> None:
        """Give a device to one of these searches, if it fits and there is a slot."""
        if (match := self._claims.claimant(found, searches)) is None:
            return
        waited = self._slots.must_wait(peripheral := match.peripheral)
        if self._slots.request(peripheral, urgent=match.periodic):
            self._claims.claim(match, found)
            self._searching.pop(match).set_result(found)
        elif not waited:
            self._log.info("waits for a slot", peripheral=peripheral, slots=self._slots.number)
        self._turns.schedule_turns()
        self._update()

    def _lose_links(self, adapter: str, fault: AdapterGone) -> None:
        self._loss = adapter, fault
        if adapter == self._adapters.current:
            self._broadcasts.lose(fault)
        for link in self._links:
            if link.found.adapter == adapter:
                link.lose(fault)

    def _should_scan(self) -> bool:
        """Whether scanning is useful and possible now.

        A search needs the scanner unless its peripheral waits for a slot anyway, even if it could
        have been listened to as well.
        """
        searching = self._searching
        idle = all(self._slots.must_wait(match.peripheral) for match in searching)
        heard = any(match not in searching for match in self._broadcasts.matches)
        needed = bool(self._listeners) or heard or not idle
        return needed and not self._connecting and self._adapters.usable
