"""One run of a periodic peripheral: tries until one succeeds or the time is over."""

import asyncio
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass

from healthd.central.faults import LinkFault
from healthd.events import FetchOutcome
from healthd.sessions.pace import Pace
from healthd.sessions.session import Session, State
from healthd.supervision.deadline import timeout_at

# The refusals of a device that requires pairing. Other refusals are not a failure of the run if the
# device had nothing to send.
_UNPAIRED = ("not_paired", "bond_lost", "pairing_failed")


@dataclass(frozen=True, slots=True)
class End:
    """The state of a run when it ended.

    Attributes:
        done: whether the device has delivered everything.
        state: the state of the session.
        asks: whether the device was still being asked for its data.
        waits_for_slot: whether the device was heard and all slots were taken.
        fault: what ended the last failed try; or, if the last try was linked, the refusal for lack
            of a bond.
        duration_s: how long the run took.
        unpaired: whether ``fault`` is such a refusal.
    """

    done: bool
    state: State
    asks: bool
    waits_for_slot: bool
    fault: LinkFault | None
    duration_s: float
    unpaired: bool = False

    def judged(self, samples: int) -> tuple[FetchOutcome, str | None]:
        """Return the outcome of a run with this many samples, and the reason if it needs one."""
        if not self.done and self.state is State.STREAMING and self.asks:
            return "timeout", "unfinished"
        # An endless stream is received until the run's time is over, which is a success.
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
        found: whether the peripheral was found and had a slot.
    """

    def __init__(self, session: Session, window_s: float, pace: Pace, *, waits: bool) -> None:
        """Prepare.

        Args:
            session: links the peripheral.
            window_s: how long the run may take.
            pace: delays the tries, including the first one after failed runs.
            waits: whether the time starts when the peripheral is found, instead of now.
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
        """Start the time of the run now; return False if it has already started."""
        if self._begun.is_set():
            return False
        self._began_at = time.monotonic()
        self._begun.set()
        return True

    async def run(self) -> End:
        """Fetch; on return there is neither a link nor a search."""
        tries = asyncio.create_task(self._tries(), name="fetch tries")
        begun = asyncio.create_task(self._begun.wait(), name="fetch begin")
        try:
            await asyncio.wait({tries, begun}, return_when=asyncio.FIRST_COMPLETED)
            began_at = self._began_at
            with suppress(TimeoutError):
                async with timeout_at(began_at + self._window_s):
                    await asyncio.wait({tries})
            # Taken before the tries are cancelled, because cancelling changes the state.
            end = self._end(time.monotonic() - began_at)
        finally:
            for task in (tries, begun):
                task.cancel()
            await asyncio.gather(tries, begun, return_exceptions=True)
        if not tries.cancelled():
            tries.result()
        return end

    def _end(self, duration_s: float) -> End:
        session, done = self._session, self._done
        refusal = session.refusal if done or session.state is State.STREAMING else None
        unpaired = refusal is not None and refusal.reason in _UNPAIRED
        return End(
            done,
            session.state,
            session.asks,
            session.waits_for_slot,
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
        """Wait for the pause of the pace; return False if the run would be over by then."""
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
