"""The process that the tests kill: the real daemon on simulated devices, with a tapped outbox.

    python -m tests.chaos.gateway --config FILE --accepted FIFO

Before the outbox gets a sample, a line about it is written to the FIFO with one ``write``, so the
harness knows all accepted samples even if the process is killed. The process reads commands from
standard input, and stops at its end. A command is a verb (``drop``, ``silence``, ``resume``,
``vanish`` or ``appear``) and a strap's id. A periodic peripheral is a glucose meter with a full
memory, with the same records in every process.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway import daemon
from healthd.gateway.surroundings import Surroundings
from healthd.host.clock import Clock
from healthd.log import configure
from healthd.mqtt import history, parking
from healthd.outbox.outbox import Outbox
from healthd.profiles import registry
from healthd.samples import Sample
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.health.glucose import Memory, meter_part
from healthd.simulator.heart import SyntheticHeart
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from healthd.supervision.supervisor import Supervisor

# A transfer takes two seconds, which is long enough to kill the process during it.
RECORDS = 120


class TappedOutbox(Outbox):
    """An outbox that writes a line to a FIFO for each sample."""

    accepted: int
    """File descriptor of the FIFO."""

    def put(self, sample: Sample) -> None:
        line = (
            f"{time.monotonic_ns()} {sample.stamp.wall_ns} {sample.peripheral or '-'} "
            f"{sample.stream} {sample.run} {sample.seq}\n"
        )
        # Shorter than PIPE_BUF, so the write is atomic.
        os.write(self.accepted, line.encode())
        super().put(sample)


class ShortWaits(random.Random):
    """A random generator that limits retry waits, so that a test need not wait for them."""

    max_wait_s: float

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, min(b, self.max_wait_s))


def main(arguments: argparse.Namespace) -> int:
    configure()
    # bumble warns about every packet in transit when a link ends; here links end on purpose.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    TappedOutbox.accepted = os.open(
        arguments.accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    _replace(daemon, "Outbox", TappedOutbox)
    ShortWaits.max_wait_s = arguments.max_wait
    waits = ShortWaits(arguments.seed)

    def supervisor(_jitter: random.Random) -> Supervisor:
        return Supervisor(waits)

    _replace(daemon, "Supervisor", supervisor)
    _replace(parking, "FIRST_S", arguments.park)
    _replace(history, "FIRST_S", arguments.park)
    known = registry.load()
    settings = read(arguments.config, os.environ, known.listed)
    return until_signal(lambda stop: _run(settings, known, arguments, stop))


def _replace(module: ModuleType, name: str, value: object) -> None:
    # A name that has moved to another module must not be replaced without effect.
    assert hasattr(module, name), f"{module.__name__} has no {name}"
    setattr(module, name, value)


async def _run(
    settings: Settings, known: registry.Registry, arguments: argparse.Namespace, stop: asyncio.Event
) -> None:
    peripherals = _straps(settings, random.Random(arguments.seed), 1 / arguments.rate)
    for entry in settings.peripherals:
        if entry.periodic:
            peripherals[entry.id] = _meter(entry.address or "")
    async with AsyncExitStack() as stack:
        air = await stack.enter_async_context(Air())
        for peripheral in peripherals.values():
            await air.add(peripheral)
            await peripheral.appear()
        commands = asyncio.create_task(execute_commands(peripherals, stop), name="commands")
        try:
            backends = Backends(air.scanner_backend, air.client_backend)
            around = None
            if arguments.timesync is not None:
                around = Surroundings(clock=Clock(arguments.timesync))
            await daemon.Daemon(settings, known, os.environ, backends, around).run(stop)
        finally:
            commands.cancel()


def _straps(
    settings: Settings, rng: random.Random, period_s: float
) -> dict[str, VirtualPeripheral]:
    return {
        entry.id: chest_strap(
            f"Strap {number}",
            entry.address or "",
            SyntheticHeart(random.Random(rng.random()), mean_bpm=rng.uniform(60, 120)),
            period=period_s,
        )
        for number, entry in enumerate(settings.peripherals)
        if not entry.periodic
    }


def meter_memory() -> Memory:
    """Return the meter's memory, the same in every process."""
    until = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - the device has no time zone
    return Memory(random.Random(1), stored=RECORDS, until=until)


def _meter(address: str) -> VirtualPeripheral:
    return VirtualPeripheral("Meter", address, [meter_part(meter_memory())])


async def execute_commands(
    peripherals: Mapping[str, VirtualPeripheral], stop: asyncio.Event
) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while command := (await reader.readline()).decode().split():
        verb, peripheral = command[0], peripherals[command[1]]
        if verb == "silence":
            peripheral.go_silent()
        elif verb == "resume":
            peripheral.resume()
        else:
            actions: dict[str, Any] = {
                "drop": peripheral.drop,
                "vanish": peripheral.vanish,
                "appear": peripheral.appear,
            }
            await actions[verb]()
    # The harness has ended: no gateway outlives its test.
    stop.set()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--accepted", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="samples per second and strap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-wait", type=float, default=1.0, help="longest wait for a retry, s")
    parser.add_argument("--park", type=float, default=2.0, help="first wait of a parked topic, s")
    parser.add_argument("--timesync", type=Path, help="replaces the folder of systemd-timesyncd")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
