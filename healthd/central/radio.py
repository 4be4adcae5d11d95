"""The adapter, shared: one scanner for all peripherals, one connect at a time, so many links."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from healthd.central.adapters import Adapters
from healthd.central.airtime import Airtime
from healthd.central.bonds import Bonds
from healthd.central.claims import Claims
from healthd.central.faults import AdapterGone, LinkFault, NotTried, Reassigned, Remedy
from healthd.central.link import Advertisement, Backends, Link
from healthd.central.match import Match
from healthd.central.recovery import Recovery
from healthd.central.scan_loop import ScanLoop
from healthd.central.slots import Slots
from healthd.central.turns import Turns
from healthd.log import get_logger


class Cleaner(Protocol):
    """What mends BlueZ behind a link's back."""

    async def forget(self, path: str) -> bool:
        """Make BlueZ forget a device that is not bonded; whether it did."""
        ...

    def check_devices(self) -> None:
        """Something in BlueZ may have changed: a bond, or a link that nobody here has."""
        ...


class Radio:
    """Finds peripherals for the sessions and makes their links.

    BlueZ and small controllers fail when scans and connects overlap (bleak#1689), so there is
    one scanner, running only while somebody searches or overhears and nobody connects.
    ``airtime`` adds up how long it scanned, and had links.
    """

    def __init__(
        self,
        backends: Backends,
        slots: Slots,
        adapters: Adapters | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        """Prepare.

        Args:
            backends: stand in for the system's Bluetooth.
            slots: how many links there may be.
            adapters: which adapter to use; None where nobody follows BlueZ.
            recovery: is told of how the adapter does.
        """
        self._backends = backends
        self._slots = slots
        self._turns, self.airtime = Turns(slots), Airtime()
        self._adapters = adapters or Adapters()
        self._recovery = recovery or Recovery()
        self.cleaner: Cleaner | None = None
        self.bonds: Bonds | None = None
        self._searching: dict[Match, asyncio.Future[Advertisement]] = {}
        self._claims = Claims()
        self._links: set[Link] = set()
        self._hearers: list[Callable[[Advertisement], None]] = []
        self._connect_lock = asyncio.Lock()
        self._connecting = False
        self._scanner = ScanLoop(
            backends,
            self._adapters,
            self._recovery,
            self.airtime,
            self._should_scan,
            self._on_advertisement,
        )
        self._adapters.attach(self._scanner.update, self._lose_links)
        self._log = get_logger(service="radio")

    def add(self, match: Match) -> None:
        """A peripheral is looked for from now on, or is found otherwise than before.

        Where a vaguer one is linked to a device of its, that link ends.
        """
        given_up = self._claims.add(match)
        for link in self._links:
            if link.found in given_up:
                link.give_up(Reassigned())

    def remove(self, peripheral: str) -> None:
        """A peripheral whose session has ended is not looked for any more."""
        self._claims.remove(peripheral)
        self.airtime.forget(peripheral)

    def check_devices(self) -> None:
        """What BlueZ knows already may concern peripherals that were added."""
        if self.cleaner is not None:
            self.cleaner.check_devices()

    @property
    def matches(self) -> tuple[Match, ...]:
        """All peripherals that are looked for."""
        return self._claims.matches

    @property
    def links(self) -> int:
        """How many links there are, or are being made."""
        return len(self._links)

    @property
    def linked(self) -> list[Advertisement]:
        """Who has a link, as it was heard; or gets one just now."""
        return [link.found for link in self._links]

    @property
    def losses(self) -> int:
        """How often the adapter, or all of BlueZ, went away."""
        return self._adapters.losses

    @property
    def scans(self) -> bool:
        """Whether the scanner runs."""
        return self._scanner.is_scanning

    def owns(self, address: str, path: str | None = None) -> bool:
        """Whether one of the sessions has, or makes, a link to this device.

        A bond may change the address while the link lasts; the object in BlueZ stays the same.
        """
        return self._claims.has(address) or any(
            path is not None and link.path == path for link in self._links
        )

    def waits(self, match: Match) -> bool:
        """Whether the peripheral was heard, and waits for a slot."""
        return self._slots.waits(match.peripheral)

    def rescan(self) -> None:
        """Start the scanner anew, if it runs."""
        self._scanner.restart()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Scan whenever it is wanted. Ends only by raising.

        Raises:
            LinkFault: the adapter cannot scan; searches go on when it is run again.
        """
        await self._scanner.run(mark_healthy)

    @contextmanager
    def overheard(self, hear: Callable[[Advertisement], None]) -> Generator[None]:
        """Have ``hear`` called with everything that is heard while the block runs.

        The scanner runs for it, and stops for connects as ever.
        """
        self._hearers.append(hear)
        self._scanner.update()
        try:
            yield
        finally:
            self._hearers.remove(hear)
            self._scanner.update()

    @asynccontextmanager
    async def found(self, match: Match) -> AsyncGenerator[Advertisement]:
        """Wait until the peripheral advertises and a connection slot is free.

        It stays claimed, and the slot taken, while the block runs.
        """
        future: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()
        self._searching[match] = future
        self._scanner.update()
        try:
            yield await future
        finally:
            self._searching.pop(match, None)
            self._claims.release(match)
            self._slots.release(match.peripheral)
            self._turns.left(match.peripheral)
            self._scanner.update()

    @asynccontextmanager
    async def link(self, found: Advertisement) -> AsyncGenerator[Link]:
        """A link to the peripheral, closed when the block ends, however it ends.

        Raises:
            LinkFault: the connection could not be made.
        """
        link = Link(found)
        match = self._claims.holder(found)
        try:
            await self._open(link, match)
            self._turns.linked(match, link)
            with self.airtime.linked(match.peripheral):
                yield link
        finally:
            # A task of its own: a cancelled session must not leave its link behind.
            await asyncio.shield(asyncio.create_task(self._close(link)))

    async def explain(self, found: Advertisement, fault: LinkFault) -> LinkFault:
        """What a fault of a link to this device means, its bond considered."""
        if self.bonds is None:
            return fault
        return await self.bonds.explain(self._claims.holder(found).peripheral, found.path, fault)

    async def forget(self, found: Advertisement) -> bool:
        """Make BlueZ forget the device and its services; False where it has to remember them."""
        cleaner, path = self.cleaner, found.path
        return cleaner is not None and path is not None and await cleaner.forget(path)

    async def _open(self, link: Link, match: Match) -> None:
        async with self._connect_lock:
            if not self._adapters.usable:
                raise NotTried
            if self._claims.is_contested(match):
                raise Reassigned
            self._connecting = True
            self._links.add(link)
            self._scanner.update()
            try:
                await self._scanner.stopped()
                if self.bonds is not None:
                    await self.bonds.secure(match.peripheral, link.found.path)
                await link.open(self._backends)
            except LinkFault as fault:
                if fault.remedy is Remedy.SUSPECT:
                    self._recovery.failed()
                raise
            else:
                self._recovery.worked()
                self.check_devices()  # somebody may have paired it meanwhile
            finally:
                self._connecting = False
                self._scanner.update()

    async def _close(self, link: Link) -> None:
        closed = await link.close()
        self._links.discard(link)
        if not closed:
            self.check_devices()

    def _on_advertisement(self, found: Advertisement) -> None:
        self._recovery.heard()
        for hear in self._hearers:
            hear(found)
        if self.owns(found.address):
            return
        # A search that was just cancelled is still listed, and can no longer be answered.
        open_searches = (match for match, future in self._searching.items() if not future.done())
        if (match := self._claims.entitled(found, open_searches)) is None:
            return
        waited = self._slots.need_not_be_heard(who := match.peripheral)
        if self._slots.ask(who, urgent=match.periodic):
            self._claims.claim(match, found)
            self._searching.pop(match).set_result(found)
        elif not waited:
            self._log.info("waits for a slot", peripheral=who, slots=self._slots.number)
        self._turns.schedule_turns()
        self._scanner.update()

    def _lose_links(self, adapter: str, fault: AdapterGone) -> None:
        for link in self._links:
            if link.path is not None and link.path.split("/")[3] == adapter:
                link.lose(fault)

    def _should_scan(self) -> bool:
        """Whether the scanner should run: for somebody who would get a slot, and undisturbed."""
        idle = all(self._slots.need_not_be_heard(one.peripheral) for one in self._searching)
        listened_to = bool(self._hearers) or not idle
        return listened_to and not self._connecting and self._adapters.usable
