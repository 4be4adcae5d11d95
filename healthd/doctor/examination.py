"""Run all checks."""

import asyncio
from pathlib import Path

from healthd.doctor.adapter import check_adapter
from healthd.doctor.bluetooth import check_bluetooth
from healthd.doctor.broker import check_brokers
from healthd.doctor.clock import check_clock, check_time_zone
from healthd.doctor.configuration import check_settings
from healthd.doctor.finding import Finding
from healthd.doctor.machine import Machine
from healthd.doctor.storage import check_outbox
from healthd.doctor.unit import check_memory, check_unit
from healthd.profiles.registry import Registry


async def examine(
    machine: Machine, config: Path, registry: Registry, *, installed: bool
) -> list[Finding]:
    """Run all checks. They change nothing and do not disturb a running daemon.

    Args:
        machine: the machine to check.
        config: the settings file.
        registry: the known profiles.
        installed: whether the settings are those of the installed unit.

    Returns:
        At least one finding per check, in the order of the report.
    """
    environ = machine.as_daemon(installed=installed)
    settings_findings, settings = check_settings(machine, config, environ, registry)
    async with asyncio.TaskGroup() as tasks:
        bluetooth = tasks.create_task(check_bluetooth(machine), name="doctor-bluetooth")
        brokers = tasks.create_task(check_brokers(settings, environ), name="doctor-broker")
        clock = tasks.create_task(check_clock(machine), name="doctor-clock")
        time_zone = tasks.create_task(
            check_time_zone(machine, environ, installed=installed), name="doctor-time-zone"
        )
        unit = tasks.create_task(check_unit(machine), name="doctor-unit")
        outbox = tasks.create_task(check_outbox(machine, settings, environ), name="doctor-outbox")
    bluetooth_findings, radio = bluetooth.result()
    return [
        *bluetooth_findings,
        *check_adapter(machine, radio, settings, registry),
        *settings_findings,
        *brokers.result(),
        clock.result(),
        time_zone.result(),
        *outbox.result(),
        check_memory(machine),
        unit.result(),
    ]
