"""An event loop with virtual time, which advances when the loop is idle: hours in milliseconds."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

# The Unix time at the start.
_EPOCH_NS = 1_795_480_000_000_000_000


T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise AssertionError("deadlock: no event and no timer is left")
        self.now += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Run the function at once, in virtual time without a duration."""
        done = self.create_future()
        done.set_result(func(*args))
        return done


class VirtualTime:
    """An event loop that is run by hand; all clocks show its time until ``end``."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_Loop)
        self._patch = pytest.MonkeyPatch()
        loop = self._runner.get_loop()
        assert isinstance(loop, _Loop)
        self._loop = loop
        _show(loop, self._patch)

    @property
    def now(self) -> float:
        return self._loop.time()

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """Run until the body is done."""
        return self._runner.run(body)

    def stall(self, seconds: float) -> None:
        """Let time pass in which the event loop does not run."""
        self._loop.selector.now += seconds

    def end(self) -> None:
        self._runner.close()
        self._patch.undo()


def run(body: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run ``body`` in virtual time, which all clocks of the process show meanwhile."""
    with monkeypatch.context() as patch, asyncio.Runner(loop_factory=_Loop) as runner:
        _show(runner.get_loop(), patch)
        runner.run(body())


def _show(loop: asyncio.AbstractEventLoop, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(time, "monotonic", loop.time)
    patch.setattr(time, "monotonic_ns", lambda: round(loop.time() * 1e9))
    patch.setattr(time, "clock_gettime", lambda _clock=0: loop.time())
    patch.setattr(time, "time_ns", lambda: _EPOCH_NS + round(loop.time() * 1e9))
