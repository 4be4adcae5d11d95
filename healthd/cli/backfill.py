"""``healthd hass-backfill``: late samples for Home Assistant's statistics."""

import asyncio
import os
from pathlib import Path

from healthd.backfill.service import Backfill
from healthd.cli.run import DEFAULT_CONFIG, EXIT_FAILED, until_signal
from healthd.errors import Transient
from healthd.log import configure, get_logger
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.supervision.supervisor import root_cause


def main(config: Path | None, once: bool) -> int:
    """Run until SIGTERM or SIGINT.

    Args:
        config: the settings; None for the default file.
        once: import what waits at the broker instead, and stop.

    Returns:
        The exit code: 0; 1 failed, or hours are left to import; 78 bad settings.
    """
    configure()
    done = True

    async def body(stop: asyncio.Event) -> None:
        nonlocal done
        known = registry.load()
        settings = read(config or DEFAULT_CONFIG, os.environ, known.listed)
        configure(settings.log.level)
        backfill = Backfill(settings, known, os.environ)
        if once:
            done = await _once(backfill, stop)
        else:
            await backfill.run(stop)

    return until_signal(body) or (0 if done else EXIT_FAILED)


async def _once(backfill: Backfill, stop: asyncio.Event) -> bool:
    """Import what waits, until ``stop`` is set; return whether all of it is imported."""
    importing = asyncio.create_task(backfill.once(), name="once")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((importing, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not importing.done():
        importing.cancel()
        await asyncio.wait((importing,))
        return False
    try:
        return importing.result()
    except Exception as error:
        cause = root_cause(error)
        if not isinstance(cause, Transient):
            raise
        get_logger(service="hass-backfill").error(
            "failed", reason=cause.reason, error=str(cause), hint="nothing is lost: run it again"
        )
        return False
