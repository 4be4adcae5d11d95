"""Counters for monitoring the gateway: ``health``, renewed every minute and when links change."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from healthd.host import descriptors
from healthd.log import lines_lost
from healthd.mqtt.devices import Devices
from healthd.mqtt.payloads import HEALTH_PERIOD_S, GatewayHealth
from healthd.outbox.outbox import Outbox
from healthd.samples import utc_text

_STATM = Path("/proc/self/statm")

# A strap at the edge of its range goes online and offline every few seconds.
_LEAST_S = 5.0


class Health:
    """Collects the counters from the other parts and publishes them."""

    def __init__(
        self,
        outbox: Outbox,
        devices: Devices,
        retain: Callable[[GatewayHealth], None],
        radio: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Wire it.

        Args:
            outbox: counts the waiting samples.
            devices: knows the states of the links.
            retain: publishes a payload at the gateway's health topic.
            radio: returns how long the radio was on.
        """
        self._radio = radio
        self._outbox = outbox
        self._devices = devices
        self._retain = retain
        self._started = time.monotonic()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Publish now, every ``HEALTH_PERIOD_S``, and when a device goes online or offline.

        Never returns.
        """
        while True:
            self._devices.changed.clear()
            self._retain(GatewayHealth.of(await self._counters()))
            mark_healthy()
            await asyncio.sleep(min(_LEAST_S, HEALTH_PERIOD_S))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0, HEALTH_PERIOD_S - _LEAST_S)):
                    await self._devices.changed.wait()

    async def _counters(self) -> dict[str, Any]:
        return {
            "time": utc_text(time.time_ns()),
            "uptime_s": round(time.monotonic() - self._started),
            "resident_bytes": _resident_bytes(),
            "open_files": descriptors.count(),
            "log_lines_lost": lines_lost(),
            "links": Counter(self._devices.states()),
            "radio": self._radio(),
            "outbox": await self._outbox.stats(),
        }


def _resident_bytes() -> int:
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
