"""The daemon on one simulated device of each model, as a process that is stopped and killed.

    python -m tests.hass.gateway --config FILE --seed N

It is ``healthd run`` but for the radio. The device of a model has the address that ``address`` in
``tests.hass.settings`` returns, whatever the settings say. Standard input takes the commands of
``tests.chaos.gateway``; its end ends the process.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway.daemon import Daemon
from healthd.gateway.reload import Source
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.simulator.air import Air
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.device import VirtualDevice
from tests.chaos.gateway import execute_commands
from tests.hass.settings import address


def main(arguments: argparse.Namespace) -> int:
    configure()
    # bumble warns about every packet in transit when a link ends; here links end on purpose.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    return until_signal(lambda stop: _run(arguments.config, arguments.seed, stop))


async def _run(config: Path, seed: int, stop: asyncio.Event) -> None:
    known, hung_up = registry.load(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    source = Source(hung_up, partial(read, config, os.environ, known.listed))
    rng = random.Random(seed)
    linked = {name: model.make(address(name), rng) for name, model in CATALOGUE.items()}
    heard = {name: model.make(address(name), rng) for name, model in BROADCASTING.items()}
    devices: dict[str, VirtualDevice] = {**linked, **heard}
    async with AsyncExitStack() as stack:
        air = await stack.enter_async_context(Air())
        # The order in which they appear is another one in each run.
        for name in rng.sample(sorted(devices), len(devices)):
            await air.add(devices[name])
            await devices[name].appear()
        commands = asyncio.create_task(execute_commands(linked, stop), name="commands")
        stack.callback(commands.cancel)
        backends = Backends(air.scanner_backend, air.client_backend)
        await Daemon(source.read(), known, os.environ, backends).run(stop, source)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hass.gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
