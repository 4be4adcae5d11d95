"""The adapter, shared: one scanner for all peripherals, one connect at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager

from healthd.central.link import Advertisement, Backends, Link, scanning
from healthd.central.match import Match


class Radio:
    """Finds peripherals for the sessions and makes their links.

    BlueZ and small controllers fail when scans and connects overlap (bleak#1689), so there is
    one scanner, running only while somebody searches and nobody connects.
    """

    def __init__(self, backends: Backends, matches: Collection[Match]) -> None:
        """``matches`` are all peripherals: a vague one must not take another's device."""
        self._backends = backends
        self._matches = tuple(matches)
        self._searching: dict[Match, asyncio.Future[Advertisement]] = {}
        self._claims: dict[Match, str] = {}
        self._connect_lock = asyncio.Lock()
        self._connecting = False
        self._go = asyncio.Event()
        self._halt = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Scan whenever it is wanted. Ends only by raising.

        Raises:
            LinkFault: the adapter cannot scan; searches go on when it is run again.
        """
        while True:
            await self._go.wait()
            if self._connecting:
                continue  # it began between the wake-up and now, and has stopped us again
            self._quiet.clear()
            try:
                async with scanning(self._backends, self._on_advertisement):
                    mark_healthy()
                    await self._halt.wait()
            finally:
                self._quiet.set()

    @asynccontextmanager
    async def found(self, match: Match) -> AsyncGenerator[Advertisement]:
        """Wait until the peripheral advertises; it stays claimed while the block runs."""
        future: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()
        self._searching[match] = future
        self._steer()
        try:
            yield await future
        finally:
            self._searching.pop(match, None)
            self._claims.pop(match, None)
            self._steer()

    @asynccontextmanager
    async def link(self, found: Advertisement) -> AsyncGenerator[Link]:
        """A link to the peripheral, closed when the block ends, however it ends.

        Raises:
            LinkFault: the connection could not be made.
        """
        async with self._connect_lock:
            self._connecting = True
            self._steer()
            try:
                await self._quiet.wait()
                link = await Link.open(found, self._backends)
            finally:
                self._connecting = False
                self._steer()
        try:
            yield link
        finally:
            # A task of its own: a cancelled session must not leave its link behind.
            await asyncio.shield(asyncio.create_task(link.close()))

    def _on_advertisement(self, found: Advertisement) -> None:
        if found.address in self._claims.values():
            return
        # A search that was just cancelled is still listed, and can no longer be answered.
        open_searches = (match for match, future in self._searching.items() if not future.done())
        fitting = [match for match in open_searches if match.fits(found)]
        if not fitting:
            return
        match = min(fitting, key=lambda candidate: candidate.by)
        if not self._reserved(found, match):
            self._claims[match] = found.address
            self._searching.pop(match).set_result(found)
            self._steer()

    def _reserved(self, found: Advertisement, match: Match) -> bool:
        """True where a more specific peripheral, not linked now, will want this device."""
        return any(
            other.by < match.by and other not in self._claims and other.fits(found)
            for other in self._matches
        )

    def _steer(self) -> None:
        if self._searching and not self._connecting:
            self._halt.clear()
            self._go.set()
        else:
            self._go.clear()
            self._halt.set()
