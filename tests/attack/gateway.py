"""The daemon as a process, with straps and hostile peripherals around it, measured from inside.

    python -m tests.attack.gateway --config FILE --sent FILE --measured FILE [--hostile ID ...]

The file of what was sent gets a line for each measurement of a well-behaved strap: peripheral,
number and time. The file of measures gets JSON lines: how late the event loop was in each second,
and what the daemon holds in memory. The process reads commands from standard input: `attack` lets
the hostile peripherals come, `hush` silences all straps and lets the others go, `walk` measures the
memory. It stops at the end of its standard input.
"""

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import orjson

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway.daemon import Daemon
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.peripheral import VirtualPeripheral
from tests.attack.hostile import HOSTILE
from tests.attack.spam import spam
from tests.attack.straps import counting_strap
from tests.attack.walk import walk

_TICK_S = 0.01
_REPORT_S = 1.0
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
SPAM = "spam"


class Measured:
    """Writes measures as JSON lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._walked = False

    def write(self, **fields: Any) -> None:
        """Write a line."""
        self._file.write(orjson.dumps(fields).decode() + "\n")
        self._file.flush()

    async def loop_delays(self) -> None:
        """Report for each second by how many seconds the event loop was late, each time.

        Not counted is the time in which this thread waited for a processor: other programs of a
        busy machine take that.
        """
        loop, late = asyncio.get_running_loop(), list[float]()
        reported, waited = loop.time(), _waited_s()
        while True:
            due = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            now, before, waited = loop.time(), waited, _waited_s()
            if not self._walked:  # a walk takes time that the daemon is not to blame for
                late.append(round(max(0.0, now - due - (waited - before)), 5))
            self._walked = False
            if now - reported >= _REPORT_S:
                reported = now
                self.write(late_s=late, cpu_s=time.process_time())
                late.clear()

    def walk(self, daemon: Daemon) -> None:
        """Report what the daemon holds."""
        self._walked = True
        gc.collect()
        self.write(held={label: tuple(one) for label, one in walk(daemon).items()})


def _waited_s() -> float:
    """Return for how long this thread was ready to run and had no processor (proc(5))."""
    return int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9


class World:
    """Everything in range of the daemon."""

    def __init__(self, air: Air, hostile: list[str], spam_per_s: float, rng: random.Random) -> None:
        self._air = air
        self._names = hostile
        self._rng = rng
        self._spam_per_s = spam_per_s
        self._straps: list[VirtualPeripheral] = []
        self._hostile: dict[str, VirtualPeripheral] = {}
        self._spam: asyncio.Task[None] | None = None

    async def fill(self, settings: Settings, per_s: float, sent: TextIO) -> None:
        """Let the straps appear; the hostile ones come later."""
        makers = {one.id: one for one in HOSTILE}

        def note(peripheral: str, number: int, at: float) -> None:
            sent.write(f"{peripheral} {number} {at}\n")

        for number, entry in enumerate(settings.peripherals):
            assert entry.address is not None
            if entry.id in makers:
                hostile = makers[entry.id].make(entry.address, self._rng)
                await self._air.add(hostile)
                self._hostile[entry.id] = hostile
            elif per_s:
                strap = counting_strap(number, entry.address, per_s, partial(note, entry.id))
                await self._air.add(strap)
                await strap.appear()
                self._straps.append(strap)

    async def attack(self) -> None:
        """Let the hostile peripherals of this run appear; the others stay out of range."""
        for name, peripheral in self._hostile.items():
            if name in self._names:
                await peripheral.appear()
        if SPAM in self._names:
            self._spam = asyncio.create_task(spam(self._air, self._rng, self._spam_per_s))

    async def hush(self) -> None:
        """Let nothing more be measured; the links of the straps stay."""
        if self._spam is not None:
            self._spam.cancel()
        for peripheral in self._hostile.values():
            await peripheral.vanish()
        for strap in self._straps:
            strap.go_silent()


def main(arguments: argparse.Namespace) -> int:
    configure()
    # bumble warns about every packet in transit when a link ends.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    known = registry.load()
    settings = read(arguments.config, os.environ, known.listed)
    return until_signal(lambda stop: _run(settings, known, arguments, stop))


async def _run(
    settings: Settings, known: registry.Registry, arguments: argparse.Namespace, stop: asyncio.Event
) -> None:
    async with AsyncExitStack() as stack:
        sent = stack.enter_context(arguments.sent.open("a", buffering=1))
        measured = Measured(stack.enter_context(arguments.measured.open("a")))
        air = await stack.enter_async_context(Air())
        world = World(air, arguments.hostile, arguments.spam, random.Random(arguments.seed))
        await world.fill(settings, arguments.rate, sent)
        daemon = Daemon(
            settings, known, os.environ, Backends(air.scanner_backend, air.client_backend)
        )
        # A group: what fails here must not pass unseen.
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(measured.loop_delays(), name="test: loop"),
                tasks.create_task(_commands(world, measured, daemon, stop), name="test: commands"),
            ]
            await daemon.run(stop)
            for task in others:
                task.cancel()


async def _commands(world: World, measured: Measured, daemon: Daemon, stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while command := (await reader.readline()).decode().strip():
        if command == "attack":
            await world.attack()
        elif command == "hush":
            await world.hush()
            measured.write(hushed=True)
        else:
            measured.walk(daemon)
    # The harness has ended: no gateway outlives its test.
    stop.set()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack.gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sent", type=Path, required=True)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument(
        "--rate", type=float, default=4.0, help="samples per second and strap; 0: no straps"
    )
    parser.add_argument("--spam", type=float, default=300.0, help="advertisements per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hostile", nargs="*", default=[], help="which ones come")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
