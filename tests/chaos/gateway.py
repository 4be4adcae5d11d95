"""The process that is killed: the real daemon on simulated devices, with a tap at its outbox.

    python -m tests.chaos.gateway --config FILE --accepted FIFO

Before the outbox sees a sample, one line about it is written to the FIFO with one ``write``, so
what was accepted is known whatever happens to the process. It ends with its standard input, on
which it is told what the straps do: ``drop``, ``silence``, ``resume``, ``vanish`` or ``appear``,
and a strap's id. A periodic peripheral is a glucose meter with a full memory, the same each time.
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
from functools import partial
from pathlib import Path
from typing import Any

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway import daemon
from healthd.host.clock import Clock
from healthd.log import configure
from healthd.mqtt import parking, publisher
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

# Two seconds of transfer: time to kill in.
RECORDS = 120


class TappedOutbox(Outbox):
    """The outbox, and a record of every sample that it is given."""

    accepted: int
    """File descriptor."""

    def put(self, sample: Sample) -> None:
        line = (
            f"{time.monotonic_ns()} {sample.stamp.wall_ns} {sample.peripheral or '-'} "
            f"{sample.stream} {sample.run} {sample.seq}\n"
        )
        # Shorter than PIPE_BUF: written whole or not at all.
        os.write(self.accepted, line.encode())
        super().put(sample)


class Hurried(random.Random):
    """Draws no wait longer than ``patience_s``: how patient healthd is, is tested elsewhere."""

    patience_s: float

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, min(b, self.patience_s))


def main(arguments: argparse.Namespace) -> int:
    configure()
    # bumble warns of every packet that was on its way when a link ended: here, on purpose.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    TappedOutbox.accepted = os.open(
        arguments.accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    setattr(daemon, "Outbox", TappedOutbox)  # noqa: B010 (pyright: a class is no variable)
    Hurried.patience_s = arguments.patience
    setattr(daemon, "Supervisor", lambda _jitter: Supervisor(Hurried(arguments.seed)))  # type: ignore  # noqa: B010
    if arguments.timesync is not None:
        setattr(daemon, "Clock", partial(Clock, arguments.timesync))  # noqa: B010
    setattr(parking, "FIRST_S", arguments.park)  # noqa: B010
    setattr(publisher, "FIRST_S", arguments.park)  # noqa: B010
    known = registry.load()
    settings = read(arguments.config, os.environ, known.profiles)
    return until_signal(lambda stop: _run(settings, known, arguments, stop))


async def _run(
    settings: Settings, known: registry.Registry, arguments: argparse.Namespace, stop: asyncio.Event
) -> None:
    straps = _straps(settings, random.Random(arguments.seed), 1 / arguments.rate)
    straps |= {one.id: _meter(one.address or "") for one in settings.peripherals if one.periodic}
    async with AsyncExitStack() as stack:
        air = await stack.enter_async_context(Air())
        for strap in straps.values():
            await air.add(strap)
            await strap.appear()
        orders = asyncio.create_task(_obey(straps, stop))
        try:
            backends = Backends(air.scanner_backend, air.client_backend)
            await daemon.Daemon(settings, known, os.environ, backends).run(stop)
        finally:
            orders.cancel()


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
    """What the meter has measured before any process was started."""
    until = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - the device knows no time zone
    return Memory(random.Random(1), stored=RECORDS, until=until)


def _meter(address: str) -> VirtualPeripheral:
    return VirtualPeripheral("Meter", address, [meter_part(meter_memory())])


async def _obey(straps: Mapping[str, VirtualPeripheral], stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while order := (await reader.readline()).decode().split():
        verb, strap = order[0], straps[order[1]]
        if verb == "silence":
            strap.go_silent()
        elif verb == "resume":
            strap.resume()
        else:
            acts: dict[str, Any] = {
                "drop": strap.drop,
                "vanish": strap.vanish,
                "appear": strap.appear,
            }
            await acts[verb]()
    # Nobody is there any more: no gateway outlives its test.
    stop.set()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--accepted", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="samples a second and strap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=1.0, help="longest wait for a retry, s")
    parser.add_argument("--park", type=float, default=2.0, help="first wait of a parked topic, s")
    parser.add_argument("--timesync", type=Path, help="in place of timesyncd's folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
