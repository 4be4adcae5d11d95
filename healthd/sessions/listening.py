"""The session of a peripheral that is never linked: what it measures is in its advertisements."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NoReturn

from healthd.central.door import Door
from healthd.central.faults import LinkFault
from healthd.central.link import Advertisement
from healthd.central.match import Match
from healthd.central.radio import Radio
from healthd.errors import Transient
from healthd.log import Disclosed, get_logger
from healthd.profiles.characteristic import Broadcast
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.session import Observer, State

SILENT = "silent"
"""Why a peripheral that broadcasts all the time is offline: it was not heard any more."""

AMBIGUOUS = "ambiguous"
"""Why nothing is published: more than one device matches, and it is not known which is ours."""

_AMBIGUOUS_HINT = (
    "only one of them is yours: set address to it in place of name or service. healthd scan shows"
    " which one is near"
)

# The scanner may pause for several connects in a row, of up to 40 s each. If it does not run for
# much longer, no one knows whether the device is there.
_LONGEST_PAUSE_S = 300.0

# While the scanner pauses, a deadline does not come nearer; this is how often it is checked then.
_CHECK_S = 0.1


class Listening:
    """Reads what one peripheral advertises.

    An advertisement is not a measurement: a device repeats one for seconds or minutes, and BlueZ
    reports it again whenever the signal changes or a scan starts. So a value is passed on only if
    its bytes are new. On the other hand each one may be the only one of its kind, because many
    controllers report every value once: it is passed on at once.

    Time is counted in seconds of scanning. While the scanner pauses, because a link is made or the
    adapter is off, no device can be heard, and that is not its silence, up to a limit.

    Attributes:
        state: its current state.
        accepts: whether a device that is heard may be listened to.
    """

    def __init__(
        self,
        match: Match,
        radio: Radio,
        registry: Registry,
        observer: Observer,
        silence_s: float | None = None,
    ) -> None:
        """Prepare.

        Args:
            match: which peripheral, and what is wanted of its advertisements.
            radio: hears it.
            registry: what healthd reads.
            observer: receives all events.
            silence_s: replaces the silence deadline of every broadcast that has one.
        """
        self.state = State.DISABLED
        self.accepts: Callable[[Advertisement], bool] = lambda _: True
        self._match = match
        self._radio = radio
        self._observer = observer
        self._silence_s = silence_s
        self._log = get_logger(peripheral=match.peripheral)
        self._registry = registry
        self._wanted = frozenset(broadcast.uuid for broadcast in match.broadcasts)
        self._door = Door()
        # By broadcast, not by key: the company id of some scales counts their packets.
        self._last: dict[str, set[bytes]] = {}
        self._heard_s = 0.0
        self._silent_at_s: dict[str, float] = {}
        self._unknown_at = 0.0
        self._address: str | None = None
        self._name: str | None = None
        self._heard: list[str] = []
        self._was_heard = False
        self._rivals: tuple[str, str] | None = None
        self._fault: LinkFault | None = None
        self._changed = asyncio.Event()
        self._mark_healthy: Callable[[], None] = lambda: None

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Listen. Ends only by raising.

        Raises:
            LinkFault: the adapter or BlueZ went away.
        """
        self._enter(State.SEARCHING)
        try:
            await self.listen(mark_healthy)
        except asyncio.CancelledError:
            self.disable()
            raise

    async def listen(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Listen, without a report of the beginning and of being cancelled; see ``run``.

        Raises:
            LinkFault: the adapter or BlueZ went away.
        """
        self._mark_healthy = mark_healthy
        self._forget()
        self._fault = None
        try:
            if self._rivals is None:
                with self._radio.broadcasts(self._match, self):
                    await self._watch()
        except Exception as error:
            self._enter(State.WAITING, error.reason if isinstance(error, Transient) else "bug")
            raise
        # Only other settings help, and with them comes another session.
        if self.state is not State.WAITING:
            self._enter(State.WAITING, AMBIGUOUS)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("this future is never done")

    def disable(self) -> None:
        """Report that the peripheral is disabled."""
        self._enter(State.DISABLED)

    def on_broadcast(self, found: Advertisement) -> None:
        """See ``central.broadcast.Receiver``."""
        heard = self._readable(found)
        if not heard or self._rivals is not None or self._fault is not None:
            return
        if not self.accepts(found):
            return
        self._was_heard = True
        self._identify(found, [profile.name for profile, _, _ in heard])
        if self.state is not State.STREAMING:
            self._mark_healthy()
            self._enter(State.STREAMING)
            self._changed.set()
        before_s, self._heard_s = self._heard_s, self._radio.airtime.scanned_s
        for _, broadcast, value in heard:
            if broadcast.silence_s is not None:
                silence_s = self._silence_s or broadcast.silence_s
                self._silent_at_s[broadcast.uuid] = self._heard_s + silence_s
                self._unknown_at = time.monotonic() + silence_s + _LONGEST_PAUSE_S
            if self._is_news(broadcast, value, self._heard_s - before_s):
                self._pass_on(broadcast, value)
        self._last.update({broadcast.uuid: set[bytes]() for _, broadcast, _ in heard})
        for _, broadcast, value in heard:
            self._last[broadcast.uuid].add(value)

    def on_rivals(self, addresses: tuple[str, str]) -> None:
        """See ``central.broadcast.Receiver``."""
        if not self._was_heard:
            return  # these devices can be linked
        self._rivals = addresses
        self._log.warning(
            "two devices match",
            addresses=[Disclosed(address) for address in addresses],
            hint=_AMBIGUOUS_HINT,
        )
        # At once: what is held back of a weighing may belong to the other one.
        self._enter(State.WAITING, AMBIGUOUS)
        self._changed.set()

    def on_lost(self, fault: LinkFault) -> None:
        """See ``central.broadcast.Receiver``. A search simply waits for an adapter."""
        if self.state is State.STREAMING:
            self._fault = fault
            self._changed.set()

    def _readable(self, found: Advertisement) -> list[tuple[Profile, Broadcast, bytes]]:
        readable = self._registry.broadcasts_in(found.data)
        return [each for each in readable if each[1].uuid in self._wanted]

    def _identify(self, found: Advertisement, heard: Iterable[str]) -> None:
        """Report the device when it is first heard, and what becomes known of it later.

        Args:
            found: the advertisement.
            heard: the profiles of its data.
        """
        profiles = {*heard, *self._heard}
        name = found.name or self._name
        if (found.address, name, len(profiles)) != (self._address, self._name, len(self._heard)):
            self._address, self._name, self._heard = found.address, name, sorted(profiles)
            peripheral = self._match.peripheral
            self._observer.on_heard(peripheral, name, self._heard, found.address)

    def _is_news(self, broadcast: Broadcast, value: bytes, absent_s: float) -> bool:
        if value not in self._last.get(broadcast.uuid, ()):
            return True
        return broadcast.again_s is not None and absent_s >= broadcast.again_s

    def _pass_on(self, broadcast: Broadcast, value: bytes) -> None:
        # Anyone can send advertisements with this address, and much faster than any device does.
        if self._door.admits(len(value)):
            self._observer.on_value(self._match.peripheral, broadcast, value)
        else:
            self._observer.on_too_fast(self._match.peripheral, broadcast.uuid)

    async def _watch(self) -> None:
        """Report when the peripheral falls silent. Ends if another device matches, too.

        Raises:
            LinkFault: the adapter or BlueZ went away.
        """
        while self._rivals is None:
            if self._fault is not None:
                raise self._fault
            wait_s = self._left_s()
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _left_s(self) -> float | None:
        """Return how long to wait before the next check; None: until something has changed."""
        if not self._silent_at_s:
            return None
        left_s = max(self._silent_at_s.values()) - self._radio.airtime.scanned_s
        if left_s > 0 and time.monotonic() < self._unknown_at:
            return max(left_s, _CHECK_S)
        self._forget()
        self._enter(State.SEARCHING, SILENT)
        return None

    def _forget(self) -> None:
        """Start over: the next advertisement is news, whatever its bytes, and gets a new reader."""
        if self._silent_at_s:
            self._last.clear()
        self._silent_at_s.clear()
        self._address, self._name, self._heard = None, None, []

    def _enter(self, state: State, reason: str | None = None) -> None:
        self.state = state
        (self._log.debug if state is State.WAITING else self._log.info)("state", state=state.value)
        self._observer.on_state(self._match.peripheral, state, reason)
