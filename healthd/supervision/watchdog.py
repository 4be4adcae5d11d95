"""The watchdog's gate: a sign of life is sent only while all parts make progress.

Neither the radio nor the broker is checked: a new process could not fix them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from healthd.log import get_logger
from healthd.supervision.notify import Manager
from healthd.supervision.supervisor import Supervisor

# The longest age of the line in `systemctl status`; a watchdog may require a shorter one.
_STATUS_EVERY_S = 30.0


class Gate:
    """Sends signs of life. It runs in the event loop, so a blocked loop sends none."""

    def __init__(
        self, manager: Manager, supervisor: Supervisor, describe: Callable[[], Awaitable[str]]
    ) -> None:
        """Prepare the gate.

        Args:
            manager: receives the signs of life.
            supervisor: must restart its services in time.
            describe: returns the status line. It must ask the outbox's thread for it: a thread that
                hangs does not answer, a thread whose disk fails does.
        """
        self._manager = manager
        self._supervisor = supervisor
        self._describe = describe
        self._log = get_logger(service="watchdog")

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Send a sign of life twice per period of the watchdog; return if there is no manager."""
        if not self._manager.listens:
            return
        # Half of the period, as systemd recommends.
        period_s = min((self._manager.watchdog_s or 2 * _STATUS_EVERY_S) / 2, _STATUS_EVERY_S)
        while True:
            status = await self._describe()
            if late := self._supervisor.late():
                self._log.error("not restarted in time", services=late)
            else:
                self._manager.alive(status)
            mark_healthy()
            await asyncio.sleep(period_s)
