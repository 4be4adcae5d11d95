"""The events about a peripheral's links: one for each beginning and end, unless they are too many.

A link that comes and goes every few seconds, for days, would fill the outbox with its events.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from healthd.events import LinkEvent
from healthd.runs import Run
from healthd.samples import Sample
from healthd.supervision.budget import Budget

# A strap at the edge of the radio's range loses its link a few dozen times in a training. Beyond
# that one link in five minutes has events: 2,000 in a week, well below a megabyte.
_LINKS, _LINK_EVERY_S = 60, 300.0


class LinkGaps(Protocol):
    """The gaps between the links of a peripheral, which are reported with them."""

    def hold(self, peripheral: str) -> None:
        """Gather the gaps of a peripheral: its present link has no events yet."""
        ...

    def release(self, peripheral: str) -> None:
        """Report the gaps of a peripheral again, and first what was gathered."""
        ...


class LinkEvents:
    """Puts an event when streaming begins and ends, but not for the attempts in between."""

    def __init__(self, run: Run, put: Callable[[Sample], None], gaps: LinkGaps) -> None:
        """Pass the events to ``put``."""
        self._run = run
        self._put = put
        self._gaps = gaps
        self._budgets: dict[str, Budget] = {}
        self._reported: set[str] = set()
        self._late: dict[str, asyncio.TimerHandle] = {}
        self._left_out: Counter[str] = Counter()

    def begin(self, peripheral: str) -> None:
        """Note that a link streams."""
        budget = self._budgets.setdefault(peripheral, Budget(_LINKS, _LINK_EVERY_S))
        if wait_s := budget.wait_s():
            loop = asyncio.get_running_loop()
            self._late[peripheral] = loop.call_later(wait_s, self._report, peripheral)
        else:
            self._report(peripheral)

    def _report(self, peripheral: str) -> None:
        self._late.pop(peripheral, None)
        self._budgets[peripheral].spend()
        self._reported.add(peripheral)
        left_out = self._left_out.pop(peripheral, None)
        event = LinkEvent(peripheral=peripheral, change="up")
        if left_out is not None:
            event = event.model_copy(update={"left_out": left_out})
        self._put(self._run.event(event))
        self._gaps.release(peripheral)

    def end(self, peripheral: str, reason: str) -> None:
        """Note that the link has ended, if there was one."""
        if timer := self._late.pop(peripheral, None):
            timer.cancel()
            self._left_out[peripheral] += 1
        elif peripheral in self._reported:
            self._reported.remove(peripheral)
            event = LinkEvent(peripheral=peripheral, change="down", reason=reason)
            self._put(self._run.event(event))
        budget = self._budgets.get(peripheral)
        if budget is not None and budget.wait_s():
            # Now, because the next link's first samples come before it counts as streaming.
            self._gaps.hold(peripheral)
