"""The process that the test of advertised results kills: the real daemon and a scale.

    python -m tests.chaos.scale --config FILE --frames HEX ...

The scale advertises each of these as service data of 181B once, and then nothing more.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway import daemon
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.broadcaster import Broadcaster, Frame


def main(arguments: argparse.Namespace) -> int:
    configure()
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    known = registry.load()
    settings = read(arguments.config, os.environ, known.listed)
    return until_signal(lambda stop: _run(settings, known, arguments.frames, stop))


async def _run(
    settings: Settings, known: registry.Registry, values: list[str], stop: asyncio.Event
) -> None:
    async with Air() as air:

        async def frames() -> AsyncGenerator[Frame, None]:
            await air.scanned.wait()
            for value in values:
                yield {"service_data_181b": bytes.fromhex(value)}
                await asyncio.sleep(0.1)

        scale = Broadcaster("MIBFS", settings.peripherals[0].address or "", frames)
        await air.add(scale)
        await scale.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        await daemon.Daemon(settings, known, os.environ, backends).run(stop)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.scale")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--frames", nargs="*", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
