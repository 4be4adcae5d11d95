"""One run of a periodic peripheral: tries until one of them is done, or the time is over."""

import asyncio
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass

from healthd.central.faults import LinkFault
from healthd.events import FetchOutcome
from healthd.sessions.pace import Pace
from healthd.sessions.session import Session, State

# What a device says that answers only those who are paired with it. Its other refusals are its own
# affair, and no news where it had nothing to send.
_UNPAIRED = ("not_paired", "bond_lost", "pairing_failed")


@dataclass(frozen=True, slots=True)
class End:
    """How a run stood when it ended.

    Attributes:
        done: the device has given what it had.
        state: where the session was.
        asks: the device was still asked for what it has.
        waits_for_slot: it was there, and all slots were taken.
        fault: what ended the last try that failed; or, where the last one was linked, for which
            lack of a bond it would not be asked.
        duration_s: how long it took.
        unpaired: the fault is such a lack.
    """

    done: bool
    state: State
    asks: bool
    waits_for_slot: bool
    fault: LinkFault | None
    duration_s: float
    unpaired: bool = False

    def judged(self, samples: int) -> tuple[FetchOutcome, str | None]:
        """The outcome, and why where that is not all, of a run that brought so many samples."""
        if not self.done and self.state is State.STREAMING and self.asks:
            return "timeout", "unfinished"
        # What streams without an end is listened to for as long as the run may take.
        linked = self.done or self.state is State.STREAMING
        if linked and samples:
            return "new_data", None
        if linked and not self.unpaired and (self.done or self.fault is None):
            return "no_data", None
        if self.fault is not None:
            return "failed", self.fault.reason
        if self.state is State.SEARCHING:
            return "timeout", "no_slot" if self.waits_for_slot else "not_seen"
        return "timeout", self.state.value


class Fetch:
    """The tries of one run.

    Attributes:
        found: the peripheral was there, and had a slot.
    """

    def __init__(self, session: Session, window_s: float, pace: Pace, *, waits: bool) -> None:
        """Prepare.

        Args:
            session: links the peripheral.
            window_s: how long the run may take.
            pace: holds back the tries, also the first one for what runs before this one have met.
            waits: the time counts from when the peripheral is found, not from now.
        """
        self._session = session
        self._window_s = window_s
        self._pace = pace
        self._begun = asyncio.Event()
        self._began_at = 0.0
        self._fault: LinkFault | None = None
        self._done = False
        self.found = False
        if not waits:
            self.begin()

    def begin(self) -> bool:
        """Have the time count from now; False where it counts already."""
        if self._begun.is_set():
            return False
        self._began_at = time.monotonic()
        self._begun.set()
        return True

    async def run(self) -> End:
        """Fetch; on return there is no link and no search any more."""
        tries = asyncio.create_task(self._tries())
        begun = asyncio.create_task(self._begun.wait())
        try:
            await asyncio.wait({tries, begun}, return_when=asyncio.FIRST_COMPLETED)
            began_at = self._began_at
            await asyncio.wait({tries}, timeout=began_at + self._window_s - time.monotonic())
            # Seen before it is cancelled, which makes an end of what it was at.
            end = self._end(time.monotonic() - began_at)
        finally:
            for task in (tries, begun):
                task.cancel()
            await asyncio.gather(tries, begun, return_exceptions=True)
        if not tries.cancelled():
            tries.result()
        return end

    def _end(self, duration_s: float) -> End:
        seen, done = self._session, self._done
        refusal = seen.refusal if done or seen.state is State.STREAMING else None
        unpaired = refusal is not None and refusal.reason in _UNPAIRED
        return End(
            done,
            seen.state,
            seen.asks,
            seen.waits_for_slot,
            refusal if unpaired else self._fault,
            round(duration_s, 3),
            unpaired,
        )

    async def _tries(self) -> None:
        for attempt in itertools.count():
            if not await self._may_try():
                self._fault = self._pace.fault
                return
            try:
                await self._session.fetch(self._on_found)
            except LinkFault as fault:
                self._fault = fault
                self._pace.failed(fault, attempt)
            else:
                self._done = True
                return

    def _on_found(self) -> None:
        self.found = True
        self.begin()

    async def _may_try(self) -> bool:
        """Wait as long as the pace says; False where the run would be over by then."""
        while (wait_s := self._pace.try_in_s) > 0:
            if not self._begun.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._begun.wait()
            elif wait_s < self._began_at + self._window_s - time.monotonic():
                await asyncio.sleep(wait_s)
            else:
                return False
        return True
