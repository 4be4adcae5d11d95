"""The session of one peripheral, from searching to the fault that ends it."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Protocol

from healthd.central.faults import AdapterGone, Flooding, LinkFault, LinkLost, NotTried, Remedy
from healthd.central.link import Advertisement, Link
from healthd.central.match import By, Match
from healthd.central.radio import Radio
from healthd.errors import HealthdError, Transient
from healthd.events import ControlEvent
from healthd.log import get_logger
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.device_key import DeviceKey
from healthd.sessions.faults import ReconnectRequested, ServicesForgotten, TakesRadioDown
from healthd.sessions.hold import Rules
from healthd.sessions.link_use import LinkUse
from healthd.sessions.remote import Remote
from healthd.sessions.reports import Reports
from healthd.sessions.subscriptions import Subscriptions
from healthd.sessions.values import Values

SCHEDULED = "scheduled"
"""Why a periodic peripheral waits between two runs."""

# What hands out stored records in services: the Record Access Control Point.
_RECORDS = "2a52"

# A peripheral that has flooded counts as healthy again after this time without it. A flood ends a
# link within half a minute.
_PROVES_S = 60.0


class NotStreaming(HealthdError):
    """There is no link to reconnect."""


class State(StrEnum):
    """The state of a session."""

    DISABLED = "disabled"
    SEARCHING = "searching"
    CONNECTING = "connecting"
    PREPARING = "preparing"
    STREAMING = "streaming"
    WAITING = "waiting"


class Observer(Values, Protocol):
    """Receives the events of a session. Called in the event loop; must not block."""

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """Handle that the session entered ``state``; ``reason`` says why it waits."""
        ...

    def on_too_fast(self, peripheral: str, uuid: str) -> None:
        """Handle that a value of this characteristic was left out: it is more than the share."""
        ...

    def on_control(self, event: ControlEvent) -> None:
        """Handle the result of a request, or that control of the peripheral has changed."""
        ...


class Session:
    """Handles a peripheral's links, one at a time: search, connect, prepare, stream or collect.

    Attributes:
        state: its current state.
        remote: carries out requests to the peripheral.
    """

    def __init__(
        self,
        match: Match,
        radio: Radio,
        registry: Registry,
        observer: Observer,
        silence_s: float | None = None,
        options: Options | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Prepare.

        Args:
            match: which peripheral.
            radio: finds and links it.
            registry: what healthd reads.
            observer: receives all events.
            silence_s: replaces the silence deadline of every stream that has one.
            options: what the settings say to its profiles.
            rules: what the settings say about controlling it.
        """
        self.state = State.DISABLED
        self.remote = Remote(match.peripheral, rules or Rules(), observer.on_control)
        self._memories = registry.memories | {_RECORDS}
        self._match = match
        self._radio = radio
        self._observer = observer
        self._silence_s = silence_s
        self._log = get_logger(peripheral=match.peripheral)
        options = options or Options()
        self._values = Subscriptions(
            match.peripheral,
            registry,
            observer,
            radio.explain,
            self.remote.listeners,
            (match.wanted or None) if match.by is By.SERVICE else None,
            DeviceKey(match.peripheral, options.read_key),
        )
        self._use = LinkUse(
            match.peripheral,
            registry,
            observer,
            radio.explain,
            options,
            self._values,
            self.remote,
        )
        self._link: Link | None = None
        self._streamed: tuple[Advertisement, int] | None = None
        self._reports = Reports[State](partial(observer.on_state, match.peripheral))
        self._streams = asyncio.Event()
        self._refreshed = False
        self._flooded = False
        self._took_radio_down = 0

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Search, connect, prepare, stream. Ends only by raising.

        Raises:
            LinkFault: the link ended, a stream fell silent, or the connect failed.
        """
        try:
            await self.stream(mark_healthy)
        except asyncio.CancelledError:
            self.disable()
            raise

    async def stream(
        self, mark_healthy: Callable[[], None], on_found: Callable[[], None] = lambda: None
    ) -> None:
        """Search, connect, prepare, stream, without a report of being cancelled; see ``run``.

        Args:
            mark_healthy: called when values flow.
            on_found: called once the device is found and has a slot.

        Raises:
            LinkFault: the link ended, a stream fell silent, or the connect failed.
        """

        async def use(link: Link, profiles: list[Profile]) -> None:
            await self._use.stream(link, profiles, self._silence_s)

        try:
            await self._once(use, self._values.complete, mark_healthy, on_found)
        except Exception as error:
            streamed = self._streamed
            # Without BlueZ no reason follows.
            if type(error) is LinkLost and streamed is not None and streamed[0].path is not None:
                self._wait_after(error, *streamed)
            else:
                self._enter(State.WAITING, error.reason if isinstance(error, Transient) else "bug")
            raise

    async def fetch(self, on_found: Callable[[], None]) -> None:
        """Search, connect, prepare, collect what the device has, and disconnect.

        Args:
            on_found: called once the device is found and has a slot.

        Raises:
            LinkFault: the connect failed, or the link ended before the device was done.
        """

        async def complete(link: Link) -> None:
            try:
                await self._values.complete(link)
            except AdapterGone:
                raise
            except LinkLost:
                # Scales and cuffs hang up when they have sent everything; `collect` judges that.
                pass

        try:
            await self._once(self._use.collect, complete, lambda: None, on_found)
        except LinkFault as fault:
            self._enter(State.WAITING, fault.reason)
            raise

    async def reconnect(self) -> None:
        """End the link, and return when the next one streams; without a time limit.

        Raises:
            NotStreaming: there is no link at the moment.
        """
        if (link := self._link) is None:
            state = "losing its link" if self.state is State.STREAMING else self.state
            raise NotStreaming(f"the peripheral is not streaming (state: {state})")
        self._streams.clear()
        link.give_up(ReconnectRequested())
        await self._streams.wait()

    def rest(self) -> None:
        """Report that the peripheral waits for its next run."""
        self._enter(State.WAITING, SCHEDULED)

    def disable(self) -> None:
        """Report that the peripheral is disabled."""
        self._enter(State.DISABLED)

    @property
    def asks(self) -> bool:
        """Whether an opening exchange with the device is running."""
        return self._use.asks

    @property
    def refusal(self) -> LinkFault | None:
        """Why the device refused an opening exchange, on the current link or the last one."""
        return self._use.refusal

    @property
    def waits_for_slot(self) -> bool:
        """Whether the peripheral was heard and all slots are taken."""
        return self._radio.waits_for_slot(self._match)

    async def _once(
        self,
        use: Callable[[Link, list[Profile]], Awaitable[None]],
        complete: Callable[[Link], Awaitable[None]],
        mark_healthy: Callable[[], None],
        on_found: Callable[[], None] = lambda: None,
    ) -> None:
        self._streamed = None
        self._enter(State.SEARCHING)
        async with self._radio.found(self._match) as found:
            losses, linked, streams = self._radio.losses, False, False
            on_found()
            try:
                self._enter(State.CONNECTING)
                async with self._radio.link(found) as link:
                    linked = True
                    on_left_out = partial(self._observer.on_too_fast, self._match.peripheral)
                    has_records = not self._memories.isdisjoint(link.characteristics)
                    link.limit(on_left_out, has_records=has_records)
                    self._enter(State.PREPARING)
                    profiles = await self._values.prepare(link, refreshed=self._refreshed)
                    self._refreshed = False
                    await complete(link)
                    self._took_radio_down = 0
                    self._enter(State.STREAMING)
                    streams, self._streamed = True, (found, losses)
                    with self._proving(mark_healthy), self._streaming(link):
                        await use(link, profiles)
            except LinkFault as fault:
                self._flooded = self._flooded or isinstance(fault, Flooding)
                self._values.end(fault)
                # A link that is made again at once meets an adapter that was already going away.
                if not streams and not found.is_recent:
                    self._suspect(fault, losses, linked)
                if fault.remedy is Remedy.REFRESH:
                    await self._refresh(found, fault)
                if fault.remedy is Remedy.BOND:
                    raise await self._radio.explain(found, fault) from fault
                raise

    @contextmanager
    def _proving(self, mark_healthy: Callable[[], None]) -> Generator[None]:
        """Report the link as healthy: if the last one flooded, only once this one has not.

        So the pauses between links that flood grow, and the log says it once.
        """
        if not self._flooded:
            mark_healthy()
            yield
            return

        def prove() -> None:
            self._flooded = False
            mark_healthy()

        timer = asyncio.get_running_loop().call_later(_PROVES_S, prove)
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _streaming(self, link: Link) -> Generator[None]:
        self._link = link
        self._streams.set()
        try:
            yield
        finally:
            self._link = None

    def _enter(self, state: State, reason: str | None = None) -> None:
        self._note(state)
        if state in (State.PREPARING, State.DISABLED):
            # There is a link, so there is an adapter, and values follow; or nothing follows.
            self._reports.release()
        self._reports.put(state, reason)

    def _note(self, state: State) -> None:
        self.state = state
        # The supervisor logs why it waits; passing states matter only for debugging.
        passing = state in (State.CONNECTING, State.PREPARING, State.WAITING)
        (self._log.debug if passing else self._log.info)("state", state=state.value)

    def _wait_after(self, fault: LinkLost, found: Advertisement, losses: int) -> None:
        """Report that a link was lost: perhaps, as will be seen in a moment, with its adapter."""

        def reason() -> str:
            return (self._radio.loss_of(found, losses) or fault).reason

        self._note(State.WAITING)
        self._reports.hold(State.WAITING, reason)

    def _suspect(self, fault: LinkFault, losses: int, linked: bool) -> None:
        """Check whether the radio went away while the link was made, more than once in a row."""
        if isinstance(fault, NotTried):
            return
        if losses == self._radio.losses:
            # An attempt that made no link does not show that the radio survives one.
            if linked:
                self._took_radio_down = 0
            return
        self._took_radio_down += 1
        if self._took_radio_down > 1:
            peripheral = self._match.peripheral
            raise TakesRadioDown(peripheral, self._took_radio_down, fault) from fault

    async def _refresh(self, found: Advertisement, fault: LinkFault) -> None:
        """Make the next link discover the services again, but not twice in a row."""
        if self._refreshed:
            return
        self._refreshed = True
        if await self._radio.forget(found):
            raise ServicesForgotten(fault) from fault
