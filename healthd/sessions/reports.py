"""Reports the states of a session, in order, although the reason of one may follow."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from healthd.central.link_end import REASON_S

_State = TypeVar("_State")


class Reports(Generic[_State]):
    """Passes states on, at once or, after the end of a link, as soon as its reason is known.

    An adapter that is switched off ends its links a moment before it reports that it is off. The
    session does not wait for that: its next link is made meanwhile.
    """

    def __init__(self, report: Callable[[_State, str | None], None]) -> None:
        """Pass states to ``report``, each with the reason for it if there is one."""
        self._report = report
        self._held: list[tuple[_State, str | None]] = []
        self._reason: Callable[[], str] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, state: _State, reason: str | None = None) -> None:
        """Report a state, after those that are held."""
        if self._timer is None:
            self._report(state, reason)
        else:
            self._held.append((state, reason))

    def hold(self, state: _State, reason: Callable[[], str]) -> None:
        """Hold a state, and those that follow, for a moment.

        Args:
            state: the state.
            reason: returns the reason for it, once it is known.
        """
        self.release()
        self._reason, self._held = reason, [(state, None)]
        self._timer = asyncio.get_running_loop().call_later(REASON_S, self.release)

    def release(self) -> None:
        """Report what is held, now."""
        if self._timer is None or self._reason is None:
            return
        self._timer.cancel()
        self._timer = None
        held, self._held = self._held, []
        for state, reason in [(held[0][0], self._reason()), *held[1:]]:
            self._report(state, reason)
