"""Which link ends when a periodic peripheral is awake and needs a connection slot."""

import asyncio
import time

from healthd.central.faults import GaveWay
from healthd.central.link import Link
from healthd.central.match import Match
from healthd.central.slots import Slots

# A continuous peripheral streams at least this long before its link may be ended. Reconnecting
# costs a second or two, and so at most a tenth of its data. A periodic peripheral waits no longer
# than this, which is a sixth of its window.
MIN_LINK_S = 20.0


class Turns:
    """Ends the longest link of a continuous peripheral if a periodic one needs the slot.

    A periodic peripheral is awake for seconds and linked only while it delivers; a result that is
    not fetched then may have to wait for a day. A continuous one whose link ends loses a part of
    its stream, which a gap event reports. So periodic peripherals go first, but only if one was
    heard, all slots are taken, and a continuous link is at least ``MIN_LINK_S`` old. The oldest
    link ends: a peripheral that reconnects is the newest, so all take turns, and those in the
    queue get the next free slot. A periodic peripheral never ends the link of another one, because
    each has a deadline.
    """

    def __init__(self, slots: Slots) -> None:
        """Start without links; ``slots`` holds the queue."""
        self._slots = slots
        self._linked: dict[str, tuple[float, Link]] = {}
        self._leaving: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def on_linked(self, match: Match, link: Link) -> None:
        """Note a new link; that of a continuous peripheral may be ended from now on."""
        if not match.periodic:
            self._linked[match.peripheral] = time.monotonic(), link
            self.schedule_turns()

    def on_released(self, peripheral: str) -> None:
        """Note that the peripheral's slot is free again."""
        self._linked.pop(peripheral, None)
        self._leaving.discard(peripheral)
        self.schedule_turns()

    def schedule_turns(self) -> None:
        """End as many links as slots are missing, now or once they are old enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        missing = self._slots.urgent_waiting() - len(self._leaving)
        staying = [peripheral for peripheral in self._linked if peripheral not in self._leaving]
        for peripheral in staying[: max(0, missing)]:
            since, link = self._linked[peripheral]
            left_s = since + MIN_LINK_S - time.monotonic()
            if left_s > 0:
                # The links after this one are newer still.
                self._timer = asyncio.get_running_loop().call_later(left_s, self.schedule_turns)
                return
            self._leaving.add(peripheral)
            link.give_up(GaveWay())
