"""The watchdog's gate: a sign of life goes out only while everything inside makes progress.

Neither the radio nor the broker is asked: a new process could not mend them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from healthd.log import get_logger
from healthd.supervision.notify import Manager
from healthd.supervision.supervisor import Supervisor

# How old the status line in `systemctl status` may be where no watchdog asks for a faster pace.
_STATUS_EVERY_S = 30.0


class Gate:
    """A service of the daemon; it runs in the event loop, so a blocked loop sends nothing."""

    def __init__(
        self, manager: Manager, supervisor: Supervisor, describe: Callable[[], Awaitable[str]]
    ) -> None:
        """Prepare.

        Args:
            manager: is told.
            supervisor: has to tick.
            describe: the status line. It has to ask the outbox's thread for it: a thread that
                hangs gives no answer; one whose disk fails gives one.
        """
        self._manager = manager
        self._supervisor = supervisor
        self._describe = describe
        self._log = get_logger(service="watchdog")

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Tell the manager, twice in each of its watchdog's periods; return if there is none."""
        if not self._manager.listens:
            return
        # systemd's own advice: half of its period.
        period_s = min((self._manager.watchdog_s or 2 * _STATUS_EVERY_S) / 2, _STATUS_EVERY_S)
        while True:
            status = await self._describe()
            if late := self._supervisor.late():
                self._log.error("not restarted in time", services=late)
            else:
                self._manager.alive(status)
            mark_healthy()
            await asyncio.sleep(period_s)
