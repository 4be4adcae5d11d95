"""The taps of all peripherals, and what of the radio belongs to which."""

import asyncio
import time
from collections.abc import Awaitable, Iterable

from healthd.central.faults import LinkFault
from healthd.central.link import Advertisement, Link
from healthd.central.match import Match
from healthd.central.tap import Advertised, Tap
from healthd.profiles.uuids import canonical_uuid


class Taps:
    """The taps by peripheral; most gateways never have one."""

    def __init__(self) -> None:
        """Start without any."""
        self._taps: dict[str, Tap] = {}

    def __bool__(self) -> bool:
        """Return whether there is a tap."""
        return bool(self._taps)

    def use(self, peripheral: str, tap: Tap | None, links: Iterable[Link]) -> None:
        """Report all about a peripheral to this tap from now on; None: no more.

        Args:
            peripheral: its id.
            tap: in place of the one that it has.
            links: its links, which are joined.
        """
        if tap is None:
            self._taps.pop(peripheral, None)
        else:
            self._taps[peripheral] = tap
        for link in links:
            link.tap = None
            if tap is not None:
                link.join(tap)

    def report(self, found: Advertisement, matches: Iterable[Match]) -> None:
        """Report an advertisement to the tap of each peripheral that it may be of."""
        if (whole := found.whole) is None:
            return
        services = {canonical_uuid(uuid): value for uuid, value in whole.service_data.items()}
        advertised = Advertised(
            found.address,
            found.name,
            found.rssi_dbm,
            tuple(sorted(found.services)),
            services,
            whole.manufacturer_data,
        )
        for match in matches:
            tap = self._taps.get(match.peripheral)
            if tap is not None and match.fits(found):
                tap.on_advertisement(advertised)

    async def watch(self, peripheral: str, link: Link, opening: Awaitable[None]) -> None:
        """Wait until a link is open, and report it, or why there is none.

        Raises:
            LinkFault: what ``opening`` raises.
        """
        began = time.monotonic()
        problem = "the link ended at once"
        try:
            await opening
            if (tap := self._taps.get(peripheral)) is not None:
                link.join(tap, round(time.monotonic() - began, 6))
        except LinkFault as fault:
            problem = str(fault)
            raise
        except asyncio.CancelledError:
            problem = "healthd gave up waiting"
            raise
        finally:
            if link.tap is None and (tap := self._taps.get(peripheral)) is not None:
                took_s = round(time.monotonic() - began, 6)
                tap.on_connect_failed(link.found.address, problem, took_s)
