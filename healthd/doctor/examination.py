"""All checks, in the order in which they are read."""

import asyncio
from pathlib import Path

from healthd.doctor.adapter import check_adapter
from healthd.doctor.bluetooth import check_bluetooth
from healthd.doctor.broker import check_brokers
from healthd.doctor.clock import check_clock
from healthd.doctor.configuration import check_settings
from healthd.doctor.finding import Finding
from healthd.doctor.machine import Machine
from healthd.doctor.storage import check_outbox
from healthd.doctor.unit import check_memory, check_unit
from healthd.profiles.registry import Registry


async def examine(
    machine: Machine, config: Path, registry: Registry, *, installed: bool
) -> list[Finding]:
    """Look at everything; changes nothing, and does not disturb a daemon that runs.

    Args:
        machine: whose.
        config: the settings.
        registry: what healthd reads.
        installed: the settings are those of the unit.

    Returns:
        At least one finding for each check.
    """
    environ = machine.as_daemon(installed=installed)
    on_settings, settings = check_settings(machine, config, environ, registry)
    async with asyncio.TaskGroup() as tasks:
        bluetooth = tasks.create_task(check_bluetooth(machine))
        brokers = tasks.create_task(check_brokers(settings, environ))
        clock = tasks.create_task(check_clock(machine))
        unit = tasks.create_task(check_unit(machine))
        outbox = tasks.create_task(check_outbox(machine, settings, environ))
    on_bluetooth, radio = bluetooth.result()
    return [
        *on_bluetooth,
        *check_adapter(machine, radio, settings),
        *on_settings,
        *brokers.result(),
        clock.result(),
        *outbox.result(),
        check_memory(machine),
        unit.result(),
    ]
