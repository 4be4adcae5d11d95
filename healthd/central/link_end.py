"""When a link ended, and why."""

import asyncio
import math
import time
from contextlib import suppress

from healthd.central.faults import LinkFault, LinkLost

# When an adapter is switched off, its links end first and the adapter reports off a moment later.
# The reason of a lost link is waited for this long.
REASON_S = 0.1


class LinkEnd:
    """The end of one link: whether it has come, and the fault that explains it.

    Attributes:
        fault: why the link ended, or will end.
    """

    def __init__(self, *, has_reason: bool) -> None:
        """``has_reason``: whether a reason may follow the end, because BlueZ is watched."""
        self.fault: LinkFault = LinkLost()
        self._has_reason = has_reason
        self._gone = asyncio.Event()
        self._over = asyncio.Event()
        self._explained = asyncio.Event()

    @property
    def is_gone(self) -> bool:
        """Whether the link cannot be used any more."""
        return self._gone.is_set()

    def disconnected(self) -> None:
        """Note that the link is gone; the reason may follow."""
        self._gone.set()
        self._over.set()

    def lose(self, fault: LinkFault) -> None:
        """Note that the link is gone because of this fault."""
        self._gone.set()
        self.give_up(fault)

    def give_up(self, fault: LinkFault) -> None:
        """Request the end of the link: ``lost`` raises; the link works until its user closes it."""
        if not self._explained.is_set():
            self.fault = fault
            self._explained.set()
            self._over.set()

    async def gone(self) -> None:
        """Wait until the link cannot be used any more."""
        await self._gone.wait()

    async def lost(self, *, explained_until: float = math.inf) -> None:
        """Wait until the link ends or has to be ended.

        Args:
            explained_until: a link that ends before this time of the monotonic clock is explained:
                its reason is waited for.

        Raises:
            LinkFault: always; it says why, as far as that is known.
        """
        await self._over.wait()
        if self._has_reason and time.monotonic() < explained_until:
            with suppress(TimeoutError):
                async with asyncio.timeout(REASON_S):
                    await self._explained.wait()
        raise self.fault
