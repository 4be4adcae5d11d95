"""Time in a replay: faster than real time, or virtual and the same in each run.

All clocks of the process are replaced while a capture is played: the event loop, the daemon and
libraries ask ``time``. Sockets and other threads are real, so time runs at its normal rate, or
stands still if it is virtual, while an answer of a broker or a thread is awaited.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

_Events = list[tuple[selectors.SelectorKey, int]]
_Select = Callable[[float | None], _Events]
_Busy = Callable[[], bool]

ANSWER_S = 30.0
"""How long virtual time waits for a broker: longer than healthd itself does (10 s)."""

# How often to look whether a thread has ended, if it does not wake the loop.
_LOOK_S = 0.1

# Brokers and disks answer in milliseconds. What has not answered for this long may itself wait for
# time, such as for a message that is sent at the next pause: virtual time then goes on as usual.
_PATIENCE_S = 1.0

# Of the virtual monotonic clock. Any number does; with this one no float of it is imprecise.
_BEGIN_S = 1000.0

# The clock of the system, whatever ``time`` shows.
_real = time.monotonic


class Clock(Protocol):
    """What shows the time instead of the system's clocks."""

    def monotonic(self) -> float:
        """Return seconds."""
        ...

    def wall_ns(self) -> int:
        """Return Unix time."""
        ...

    def wait(self, select: _Select, timeout: float | None, busy: _Busy) -> _Events:
        """Wait for events of the loop, as ``select`` does; ``busy``: real work is under way."""
        ...


class FastClock:
    """Runs several times as fast as the system's clocks."""

    def __init__(self, speed: float) -> None:
        """Begin now."""
        self._speed = self._rate = speed
        self._mono, self._real = time.monotonic(), _real()
        self._wall_ns = time.time_ns()
        self._began = self._mono

    def monotonic(self) -> float:
        """See ``Clock``."""
        return self._mono + (_real() - self._real) * self._rate

    def wall_ns(self) -> int:
        """See ``Clock``."""
        return self._wall_ns + round((self.monotonic() - self._began) * 1e9)

    def wait(self, select: _Select, timeout: float | None, busy: _Busy) -> _Events:
        """See ``Clock``."""
        rate = min(1.0, self._speed) if busy() else self._speed
        if rate != self._rate:
            self._mono, self._real = self.monotonic(), _real()
            self._rate = rate
        return select(None if timeout is None else timeout / rate)


class VirtualClock:
    """Stands still while anything runs, and advances when everything waits for time."""

    def __init__(self, wall_ns: int, on_silence: Callable[[], None]) -> None:
        """Begin.

        Args:
            wall_ns: Unix time at the beginning.
            on_silence: called when something real does not answer in ``ANSWER_S``. Time then no
                longer waits for it.
        """
        self._on_silence = on_silence
        self._waits = True
        self._silent_since: float | None = None
        self._now = _BEGIN_S
        self._wall_ns = wall_ns

    def monotonic(self) -> float:
        """See ``Clock``."""
        return self._now

    def wall_ns(self) -> int:
        """See ``Clock``: to the microsecond, as the times of a capture are."""
        return self._wall_ns + round((self._now - _BEGIN_S) * 1e6) * 1000

    def wait(self, select: _Select, timeout: float | None, busy: _Busy) -> _Events:
        """See ``Clock``."""
        if events := select(0):
            self._silent_since = None
            return events
        while self._waits and busy():
            if events := select(_LOOK_S):
                self._silent_since = None
                return events
            if self._has_passed(timeout):
                return []
        self._silent_since = None
        if timeout is None:
            return select(None)
        self._now += max(0.0, timeout)
        return select(0)

    def _has_passed(self, timeout: float | None) -> bool:
        """Note that nothing has happened; return whether the loop has to do something now."""
        now = _real()
        if self._silent_since is None:
            self._silent_since = now
        silent_s = now - self._silent_since
        if silent_s > ANSWER_S:
            self._waits = False
            self._on_silence()
            return True
        if silent_s < _PATIENCE_S or timeout is None:
            return False
        self._now += min(_LOOK_S, max(0.0, timeout))
        return True


class _Selector(selectors.DefaultSelector):
    """Waits as the clock does."""

    clock: Clock | None = None

    def __init__(self) -> None:
        super().__init__()
        self.is_busy: _Busy = lambda: False

    def select(self, timeout: float | None = None) -> _Events:
        if self.clock is None:
            return super().select(timeout)
        return self.clock.wait(super().select, timeout, self.is_busy)


class ReplayLoop(asyncio.SelectorEventLoop):
    """An event loop whose time can be replaced."""

    def __init__(self) -> None:
        """Begin with the time of the system."""
        self._waiting = _Selector()
        self._jobs = 0
        super().__init__(self._waiting)

    @contextmanager
    def shows(self, clock: Clock, is_busy: _Busy) -> Generator[None]:
        """Show this time in the whole process during the block.

        Args:
            clock: the time.
            is_busy: whether anything outside this loop is under way.
        """
        names = ("monotonic", "monotonic_ns", "time", "time_ns", "clock_gettime")
        before = {name: getattr(time, name) for name in names}
        self._waiting.clock, self._waiting.is_busy = clock, lambda: self._jobs > 0 or is_busy()
        time.monotonic = clock.monotonic
        time.monotonic_ns = lambda: round(clock.monotonic() * 1e9)
        time.time = lambda: clock.wall_ns() / 1e9
        time.time_ns = clock.wall_ns
        time.clock_gettime = lambda _clock, /: clock.monotonic()
        try:
            yield
        finally:
            self._waiting.clock = None
            for name, function in before.items():
                setattr(time, name, function)

    def run_in_executor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run the function in a thread; in virtual time at once, so that the order is the same."""
        if isinstance(self._waiting.clock, VirtualClock):
            done: asyncio.Future[Any] = self.create_future()
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)
            return done
        job = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        job.add_done_callback(self._on_job)
        return job

    def _on_job(self, _job: asyncio.Future[Any]) -> None:
        self._jobs -= 1
