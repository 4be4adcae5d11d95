"""The one scanner, started and stopped as it is needed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from healthd.central.adapters import Adapters
from healthd.central.airtime import Airtime
from healthd.central.faults import LinkFault
from healthd.central.focus import Focus, Mode
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.central.recovery import Recovery
from healthd.central.scanner import scanning
from healthd.log import get_logger

# How often to check whether another way to scan is better now.
_MODE_S = 5.0


class ScanLoop:
    """Runs the scanner as long as it is wanted."""

    def __init__(
        self,
        backends: Backends,
        adapters: Adapters,
        recovery: Recovery,
        airtime: Airtime,
        interest: Interest,
        wanted: Callable[[], bool],
        on_advertisement: Callable[[Advertisement], None],
    ) -> None:
        """Prepare.

        Args:
            backends: replacements for the system's Bluetooth.
            adapters: which adapter to scan with.
            recovery: notified of how scanning goes.
            airtime: adds up how long the scanner runs.
            interest: what is wanted of advertisements.
            wanted: whether to scan right now; call ``update`` after it may have changed.
            on_advertisement: called with every advertisement.
        """
        self._backends = backends
        self._adapters = adapters
        self._recovery = recovery
        self._airtime = airtime
        self._interest = interest
        self.focus = Focus(interest)
        self._wanted = wanted
        self._on_advertisement = on_advertisement
        self._mode = Mode()
        self._log = get_logger(service="radio")
        self._go = asyncio.Event()
        self._halt = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()

    @property
    def is_scanning(self) -> bool:
        """Whether the scanner runs."""
        return not self._stopped.is_set()

    def update(self) -> None:
        """Start or stop the scanner if ``wanted`` has changed."""
        if self._wanted():
            self._go.set()
            if self.focus.mode() != self._mode:
                self._halt.set()
        else:
            self._go.clear()
            self._halt.set()

    def restart(self) -> None:
        """Stop the scanner and start it again, if it runs."""
        self._halt.set()

    async def stopped(self) -> None:
        """Wait until the scanner does not run."""
        await self._stopped.wait()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Scan whenever it is wanted. Ends only by raising.

        Raises:
            LinkFault: the adapter cannot scan; run it again to continue.
        """
        while True:
            await self._go.wait()
            if not self._wanted():
                continue  # it changed after the wake-up, and ``update`` has cleared ``_go`` since
            self._halt.clear()
            self._stopped.clear()
            losses = self._adapters.losses
            try:
                await self._scan(mark_healthy)
            except LinkFault as fault:
                if losses != self._adapters.losses:
                    continue  # the adapter went away during the scan: the scanner is not to blame
                if fault.reason == "passive_unavailable":
                    self.focus.prefers_passive = False
                    self._log.warning("scanning actively", reason=fault.reason, error=str(fault))
                    continue
                self._recovery.failed()
                raise
            finally:
                self._recovery.scanning(False)
                self._stopped.set()

    async def _scan(self, mark_healthy: Callable[[], None]) -> None:
        adapter, self._mode = self._adapters.current, self.focus.mode()
        async with scanning(
            self._backends,
            adapter,
            self._interest,
            self._on_wanted,
            self._on_foreign,
            self._mode,
        ):
            mark_healthy()
            self._recovery.scanning(self._mode.hears_everyone)
            with self._airtime.scanning():
                while not self._halt.is_set() and self.focus.mode() == self._mode:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_MODE_S):
                            await self._halt.wait()

    def _on_wanted(self, found: Advertisement) -> None:
        self._recovery.heard()
        self.focus.heard(found.address if self._interest.is_steady(found.data) else None)
        self._on_advertisement(found)

    def _on_foreign(self) -> None:
        self._recovery.heard()
        self.focus.heard(None)
