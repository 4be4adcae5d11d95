"""What peripherals sent over their share: counted, and reported in one event for many."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from healthd.errors import Backoff
from healthd.events import Gap
from healthd.log import get_logger
from healthd.runs import Run
from healthd.samples import Sample, utc_text

REASON = "too_fast"

# How long values are gathered for one event of a stream: longer from one to the next, because such
# a peripheral may go on for days.
_INTERVALS = Backoff(first_s=10.0, ceiling_s=60.0)


@dataclass(slots=True)
class _LeftOut:
    """What was left out of a stream since the last event."""

    first_ns: int
    last_ns: int
    count: int


class TooFast:
    """The values that were left out and are not reported yet, by peripheral."""

    def __init__(self, run: Run, put: Callable[[Sample], None]) -> None:
        """Pass the events to ``put``."""
        self._run = run
        self._put = put
        self._left_out: dict[str, dict[str, _LeftOut]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._intervals: dict[str, float] = {}
        self._log = get_logger(service="pipeline")

    def note(self, peripheral: str, stream: str) -> None:
        """Note a value that was left out."""
        now_ns = self._run.clock.now().wall_ns
        streams = self._left_out.setdefault(peripheral, {})
        if (left_out := streams.get(stream)) is None:
            streams[stream] = _LeftOut(now_ns, now_ns, 1)
            if peripheral not in self._timers:
                self._schedule(peripheral)
            return
        left_out.last_ns = now_ns
        left_out.count += 1

    def _schedule(self, peripheral: str) -> None:
        self._intervals[peripheral] = wait_s = _INTERVALS.after(self._intervals.get(peripheral))
        loop = asyncio.get_running_loop()
        self._timers[peripheral] = loop.call_later(wait_s, self._on_timer, peripheral)

    def _on_timer(self, peripheral: str) -> None:
        del self._timers[peripheral]
        if self._report(peripheral):
            self._schedule(peripheral)
        else:
            # Nothing for a whole interval: the next time is a new beginning.
            del self._intervals[peripheral]

    def end(self, peripheral: str) -> None:
        """Report what was left out of a peripheral whose session has ended."""
        if timer := self._timers.pop(peripheral, None):
            timer.cancel()
            del self._intervals[peripheral]
            self._report(peripheral)

    def _report(self, peripheral: str) -> bool:
        """Report what was left out; return False if there is nothing."""
        streams = self._left_out.pop(peripheral, {})
        for stream, left_out in streams.items():
            gap = Gap(
                peripheral=peripheral,
                stream=stream,
                reason=REASON,
                first=utc_text(left_out.first_ns),
                last=utc_text(left_out.last_ns),
                run=self._run.id,
                count=left_out.count,
            )
            self._log.warning(
                "values left out",
                peripheral=peripheral,
                stream=stream,
                reason=REASON,
                count=left_out.count,
            )
            self._put(self._run.event(gap))
        return bool(streams)
