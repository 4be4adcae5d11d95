"""What is done for one peripheral at the moment; it ends early for something more urgent."""

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, TypeVar

from healthd.profiles.common.machines import Rejected
from healthd.sessions.orders import BEAT_S

T = TypeVar("T")


class Rank(IntEnum):
    """How urgent something is: a higher rank interrupts a lower one."""

    ORDER = 0
    RELEASE = 1
    STOP = 2


class Interrupted(Exception):
    """The work was interrupted.

    Attributes:
        why: by what; None: it took too long.
    """

    def __init__(self, why: Rejected | None) -> None:
        """Keep the reason."""
        super().__init__(str(why or "it took too long"))
        self.why = why


class Work:
    """Does one thing at a time."""

    def __init__(self, name: str, beat: Callable[[], None]) -> None:
        """Prepare.

        Args:
            name: of the tasks.
            beat: called every `BEAT_S` at least, to show that the event loop runs.
        """
        self._name = name
        self._beat = beat
        self._task: asyncio.Task[Any] | None = None
        self._rank = Rank.ORDER
        self._interruption: Rejected | None = None

    def interrupt(self, rank: Rank, why: Rejected) -> None:
        """End what is done at the moment, unless it is as urgent as this rank."""
        if self._task is not None and rank > self._rank:
            self._interruption = why
            self._task.cancel()

    async def run(
        self,
        rank: Rank,
        work: Coroutine[Any, Any, T],
        left_s: Callable[[], float | None] = lambda: None,
    ) -> T:
        """Do something to its end.

        Args:
            rank: how urgent it is.
            work: what to do.
            left_s: returns how much longer it may take; None: without a limit.

        Raises:
            Interrupted: it was interrupted, or it took too long.
        """
        self._rank, self._interruption = rank, None
        task = self._task = asyncio.create_task(work, name=self._name)
        try:
            while not task.done():
                left = left_s()
                if left is not None and left <= 0:
                    task.cancel()
                    await asyncio.wait({task})
                    break
                await asyncio.wait({task}, timeout=BEAT_S if left is None else min(BEAT_S, left))
                self._beat()
        finally:
            self._task = None
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            # Retrieved, or asyncio logs it, if this task itself is cancelled.
            failed = None if task.cancelled() else task.exception()
        if failed is not None:
            raise failed
        if task.cancelled():
            raise Interrupted(self._interruption)
        return task.result()
