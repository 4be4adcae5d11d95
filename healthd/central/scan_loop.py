"""The one scanner, started and stopped as it is needed."""

import asyncio
from collections.abc import Callable

from healthd.central.adapters import Adapters
from healthd.central.airtime import Airtime
from healthd.central.faults import LinkFault
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.central.recovery import Recovery
from healthd.central.scanner import scanning


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
        self._wanted = wanted
        self._on_advertisement = on_advertisement
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
                adapter = self._adapters.current
                async with scanning(
                    self._backends,
                    adapter,
                    self._interest,
                    self._on_advertisement,
                    self._recovery.heard,
                ):
                    mark_healthy()
                    self._recovery.scanning(True)
                    with self._airtime.scanning():
                        await self._halt.wait()
            except LinkFault:
                if losses != self._adapters.losses:
                    continue  # the adapter went away during the scan: the scanner is not to blame
                self._recovery.failed()
                raise
            finally:
                self._recovery.scanning(False)
                self._stopped.set()
