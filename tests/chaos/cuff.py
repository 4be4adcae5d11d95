"""The process that the tests of results kill: the real daemon and a cuff.

    python -m tests.chaos.cuff --config FILE --quiet SECONDS --packets HEX ...

On each link the cuff sends these packets, and then nothing more.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway import daemon
from healthd.log import configure
from healthd.profiles import registry
from healthd.profiles.results import episodes
from healthd.sessions import collect
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.attributes import indicating, service
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral


def main(arguments: argparse.Namespace) -> int:
    configure()
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    _replace(episodes, "MEMORY_QUIET_S", arguments.quiet)
    _replace(collect, "QUIET_S", arguments.quiet + 0.5)
    known = registry.load()
    settings = read(arguments.config, os.environ, known.listed)
    return until_signal(lambda stop: _run(settings, known, arguments.packets, stop))


def _replace(module: ModuleType, name: str, value: object) -> None:
    # A name that has moved to another module must not be replaced without effect.
    assert hasattr(module, name), f"{module.__name__} has no {name}"
    setattr(module, name, value)


async def _run(
    settings: Settings, known: registry.Registry, packets: list[str], stop: asyncio.Event
) -> None:
    async with Air() as air:
        cuff = _cuff(settings.peripherals[0].address or "", packets)
        await air.add(cuff)
        await cuff.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        await daemon.Daemon(settings, known, os.environ, backends).run(stop)


def _cuff(address: str, packets: list[str]) -> VirtualPeripheral:
    result = indicating(0x2A35)

    async def payloads() -> AsyncGenerator[bytes, None]:
        for packet in packets:
            yield bytes.fromhex(packet)
        await asyncio.Event().wait()

    part = Part(service(0x1810, [result]), {result: payloads}, advertised=True)
    return VirtualPeripheral("Cuff", address, [part])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cuff")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--quiet", type=float, required=True, help="how long a result waits, s")
    parser.add_argument("--packets", nargs="*", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
