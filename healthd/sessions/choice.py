"""A peripheral whose settings do not say whether it is linked: what it advertises decides."""

import asyncio
from collections.abc import Callable

from healthd.central.link import Advertisement
from healthd.profiles.registry import Registry
from healthd.sessions.faults import OffersLink
from healthd.sessions.listening import Listening
from healthd.sessions.session import Session


class Choice:
    """Links a device, or listens to it if a link would bring nothing.

    A device is listened to if healthd reads what it advertises, devices of that kind only
    advertise, and it advertises no service from which values could be streamed, other than that of
    its data. Every other device is linked. Both sessions search until the first advertisement
    decides, so that neither a link nor the only advertisement of a measurement is delayed.

    Attributes:
        current: the session that has the peripheral; the one for links until one is chosen.
    """

    def __init__(self, registry: Registry, linked: Session, listening: Listening) -> None:
        """Prepare.

        Args:
            registry: what healthd reads.
            linked: links the peripheral.
            listening: reads what it advertises.
        """
        self.current: Session | Listening = linked
        self._registry = registry
        self._linked = linked
        self._listening = listening
        listening.accepts = self._accepts
        self._has_streamed = False
        # While both search.
        self._link: asyncio.Task[None] | None = None

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Search, and do what the device allows. Ends only by raising.

        Raises:
            LinkFault: the link ended or could not be made, or the adapter went away.
        """

        def on_healthy() -> None:
            self._has_streamed = self.current is self._linked
            mark_healthy()

        if self.current is self._listening:
            await self._listening.run(on_healthy)
        if self._has_streamed:
            await self._linked.run(on_healthy)
        try:
            await self._search(on_healthy)
        except asyncio.CancelledError:
            self.current.disable()
            raise

    async def _search(self, on_healthy: Callable[[], None]) -> None:
        """Run both sessions until one of them has the device, and then that one."""

        def on_found() -> None:
            self._link = None
            hear.cancel()

        hear = asyncio.create_task(self._listening.listen(on_healthy), name="listen")
        self._link = link = asyncio.create_task(
            self._linked.stream(on_healthy, on_found), name="link"
        )
        try:
            await asyncio.wait({hear, link}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._link = None
            hear.cancel()
            link.cancel()
            await asyncio.wait({hear, link})
        for session in (link, hear):
            if not session.cancelled():
                session.result()

    def _accepts(self, found: Advertisement) -> bool:
        """Return whether a device is listened to; the first answer decides."""
        if self._offers_link(found):
            if self.current is self._listening:
                # It had not shown its services before.
                self.current = self._linked
                self._listening.on_lost(OffersLink())
            return False
        if self.current is self._linked:
            kinds = self._registry.broadcasts_in(found.data)
            if self._link is None or not any(profile.only_advertises for profile, _, _ in kinds):
                return False
            self.current = self._listening
            self._link.cancel()
        return True

    def _offers_link(self, found: Advertisement) -> bool:
        # Some versions of BlueZ (5.82) list the UUIDs of service data among the services.
        listed = (uuid for uuid in found.services if f"service_data_{uuid}" not in found.data)
        return any(profile.measures for profile in self._registry.recognised(listed, found.name))
