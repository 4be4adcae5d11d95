"""Who gives up a connection slot for a periodic peripheral that is awake now."""

import asyncio
import time

from healthd.central.faults import GaveWay
from healthd.central.link import Link
from healthd.central.match import Match
from healthd.central.slots import Slots

# A continuous peripheral streams at least this long before it has to leave: reconnecting costs it
# a second or two, and so at most a tenth of its data. A periodic one waits no longer than this,
# a sixth of its window, and nothing is to be had of it for less than a link of somebody else's.
LEAST_S = 20.0


class Turns:
    """Has the continuous peripheral that is linked longest leave for a periodic one.

    A periodic peripheral is awake for seconds and linked for as long as it has something to give:
    what it does not get then is lost for a day. A continuous one that leaves loses a stretch of
    its stream, which a gap event names. So the periodic one has precedence, but only where it has
    been heard, all slots are taken, and somebody has had ``LEAST_S``. It is the one that is linked
    longest: who comes back is linked shortest, so all have the same share of leaving, and those
    who wait in line get the slot that becomes free afterwards. No periodic one leaves for another:
    each has a deadline.
    """

    def __init__(self, slots: Slots) -> None:
        """``slots`` knows who waits."""
        self._slots = slots
        self._linked: dict[str, tuple[float, Link]] = {}
        self._leaving: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def linked(self, match: Match, link: Link) -> None:
        """A peripheral's link stands; from now on a continuous one may have to leave."""
        if not match.periodic:
            self._linked[match.peripheral] = time.monotonic(), link
            self.schedule_turns()

    def left(self, peripheral: str) -> None:
        """Its slot is free again."""
        self._linked.pop(peripheral, None)
        self._leaving.discard(peripheral)
        self.schedule_turns()

    def schedule_turns(self) -> None:
        """Have as many leave as there are slots lacking, now or as soon as they may be asked to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lacking = self._slots.lacking() - len(self._leaving)
        staying = [one for one in self._linked if one not in self._leaving]
        for peripheral in staying[: max(0, lacking)]:
            since, link = self._linked[peripheral]
            left_s = since + LEAST_S - time.monotonic()
            if left_s > 0:
                # The others were linked later still.
                self._timer = asyncio.get_running_loop().call_later(left_s, self.schedule_turns)
                return
            self._leaving.add(peripheral)
            link.give_up(GaveWay())
