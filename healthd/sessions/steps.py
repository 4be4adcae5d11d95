"""Carries out the steps of preparing one link, and notes which of them cost it."""

import time
from collections.abc import Awaitable, Callable

from healthd.central.faults import LinkFault, LinkLost, Remedy
from healthd.central.link import Link
from healthd.log import get_logger
from healthd.sessions.faults import Unanswered
from healthd.sessions.memory import DeviceMemory, Step
from healthd.supervision.deadline import timeout

# Devices answer within a second. After 30 s without an answer BlueZ ends the link; until then it
# sends no further request.
ANSWER_S = 10.0

# BlueZ may report that a request failed a moment before it reports that the link has ended.
_END_S = 0.5

# A device that answers a request and hangs up because of it does so within this time. A firmware
# that has to be restarted by its watchdog may take longer.
_AFTERMATH_S = 0.5
_SHORT_S = 5.0

# "Unlikely error": what BlueZ reports for a request that was cut off.
_UNLIKELY = 0x0E

# The reasons of a link that the device itself has ended or does not serve.
_LOST, _SILENT = LinkLost().reason, "timeout"

_LATER = "the next links do without it, and one that begins after an hour tries it again"


class Steps:
    """The steps of one link.

    Attributes:
        left_out: UUIDs of what was left out, or cost this link.
    """

    def __init__(self, link: Link, memory: DeviceMemory, peripheral: str) -> None:
        """Prepare.

        Args:
            link: a new link.
            memory: what is known about its device.
            peripheral: the id of the peripheral.
        """
        self.left_out: set[str] = set()
        self._link = link
        self._memory = memory
        self._finished: list[tuple[Step, float, int]] = []
        self._is_silent = False
        self._leaves_out_all = memory.leaves_out_all()
        self._log = get_logger(peripheral=peripheral)

    def leaves_out(self, step: Step, *, is_data: bool = False) -> bool:
        """Return whether to leave out an optional step, because it cost an earlier link.

        Data, and what it depends on, is not left out on mere suspicion.
        """
        suspected = self._leaves_out_all and not is_data
        if left_out := suspected or self._memory.leaves_out(step):
            self.left_out.add(step.uuid)
        return left_out

    async def run(
        self,
        step: Step,
        work: Callable[[], Awaitable[None]],
        *,
        tolerated: int | None = 0,
        limit_s: float | None = None,
    ) -> None:
        """Carry out a step.

        Args:
            step: its name.
            work: does it.
            tolerated: how many links in a row it may cost before it is left out: 0 for a step that
                is optional, None for one that is never left out.
            limit_s: how long the device may take to answer; None: as long as usual.

        Raises:
            LinkLost: the link ended.
            Unanswered: no answer came; the link can hardly be used for further requests.
            LinkFault: the device refuses, which costs nothing.
        """
        limit_s = limit_s or ANSWER_S
        try:
            async with timeout(limit_s):
                await work()
        except TimeoutError:
            self._is_silent = True
            fault = Unanswered(str(step), limit_s)
            self.blame(step, fault, tolerated)
            raise fault from None
        except LinkFault as fault:
            if (end := await self._end_after(fault)) is not None:
                self.blame(step, end, tolerated)
                raise end from fault
            self.blame(step, fault, tolerated)
            raise
        if tolerated is not None:
            self.note(step, time.monotonic(), tolerated)

    def note(self, step: Step, at: float, tolerated: int = 0) -> None:
        """Note when the device answered a step that may be left out."""
        self._finished.append((step, at, tolerated))

    def blame(self, step: Step, fault: LinkFault, tolerated: int | None = 0) -> None:
        """Leave the step out from now on if it was what cost the link.

        A refusal costs a link only if the step may not be skipped, which is when losses of it are
        tolerated.
        """
        is_refusal = fault.att_error is not None and fault.remedy is not Remedy.BOND
        if tolerated is None or (
            fault.reason not in (_LOST, _SILENT) and not (tolerated and is_refusal)
        ):
            return
        is_new = self._memory.on_loss(step, tolerated)
        if self._memory.leaves_out(step):
            self.left_out.add(step.uuid)
        if is_new:
            fields = {"characteristic": step.uuid, "step": step.verb, "reason": fault.reason}
            self._log.warning("left out", **fields, error=f"{fault}; {_LATER}")

    def end(self, fault: LinkFault, last_value_at: float | None) -> None:
        """Judge the steps that the device has answered, now that the link has ended.

        Args:
            fault: why it ended.
            last_value_at: when the last value came: the device survived what it answered before.
        """
        now, lost, short = time.monotonic(), fault.reason == _LOST, self._is_silent
        for step, at, _ in self._finished:
            if now - at > _AFTERMATH_S:
                self._memory.on_success(step)
        if lost and self._finished:
            last, at, tolerated = self._finished[-1]
            short |= not tolerated and now - at < _SHORT_S
            if now - at <= _AFTERMATH_S and (last_value_at or 0.0) < at:
                self.blame(last, fault, tolerated)
        if self._memory.on_end(short=short):
            self._log.warning(
                "left out",
                reason=fault.reason,
                error="several links in a row ended while the device was asked for its battery and"
                " description, or soon after; the links of the next ten minutes do without them",
            )

    async def _end_after(self, fault: LinkFault) -> LinkFault | None:
        """Return why the link has ended, if that is why a request failed."""
        may_be_end = isinstance(fault, LinkLost) or fault.att_error in (None, _UNLIKELY)
        if not may_be_end or fault.remedy is Remedy.BOND:
            return None
        try:
            async with timeout(_END_S):
                await self._link.lost()
        except TimeoutError:
            return fault if isinstance(fault, LinkLost) else None
        except LinkFault as end:
            return end
