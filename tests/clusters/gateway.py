"""The daemon on simulated devices, as a process whose samples are written down as they are made.

    python -m tests.clusters.gateway --config FILE --accepted FILE

It is ``healthd run`` but for the radio: each entry of the settings gets a simulated device. Before
the outbox gets a sample, a line about it is appended to the file (see ``tests.chaos.gateway``).
"""

import argparse
import asyncio
import logging
import os
import random
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from healthd.central.link import Backends
from healthd.cli.run import until_signal
from healthd.gateway import daemon
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.simulator.air import Air
from healthd.simulator.world import peripherals_for
from tests.chaos.gateway import TappedOutbox

# Straps, machines and pods that measure each second, and devices with retained results.
DEVICES = (
    *(f"strap-{number}" for number in range(1, 6)),
    "running_speed_cadence",
    "cycling_speed_cadence",
    "cycling_power",
    "fitness_machine",
    "pulse_oximeter",
    "health_thermometer",
    "blood_pressure",
    "weight_scale",
)

_SETTINGS = """\
[gateway]
id = "{gateway}"
[mqtt]
brokers = [{brokers}]
version = "{version}"
requests = ["reconnect"]
[bluetooth]
slots = {slots}
[outbox]
directory = "{folder}"
max_size = "16MB"
"""


def settings(gateway: str, brokers: list[str], version: str, folder: Path) -> str:
    """Return the contents of healthd.toml for all devices.

    Args:
        gateway: its id.
        brokers: ``host:port`` of each.
        version: of MQTT.
        folder: for the outbox.
    """
    listed = ", ".join(f'"{broker}"' for broker in brokers)
    entries = [
        f'[[peripherals]]\nid = "{device}"\naddress = "C0:5E:5E:00:01:{number:02X}"\n'
        if device.startswith("strap")
        else f'[[peripherals]]\nid = "{device}"\nservice = "{device}"\n'
        for number, device in enumerate(DEVICES)
    ]
    main = _SETTINGS.format(
        gateway=gateway, brokers=listed, version=version, folder=folder, slots=len(DEVICES)
    )
    return main + "".join(entries)


def main(arguments: argparse.Namespace) -> int:
    configure()
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    TappedOutbox.accepted = os.open(
        arguments.accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    assert hasattr(daemon, "Outbox"), "it has moved: then this would tap nothing"
    daemon.Outbox = TappedOutbox
    return until_signal(lambda stop: _run(arguments.config, stop))


async def _run(config: Path, stop: asyncio.Event) -> None:
    known = registry.load()
    wanted = read(config, os.environ, known.listed)
    async with AsyncExitStack() as stack:
        air = await stack.enter_async_context(Air())
        for peripheral in peripherals_for(wanted.peripherals, random.Random(1)).values():
            await air.add(peripheral)
            await peripheral.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        await daemon.Daemon(wanted, known, os.environ, backends).run(stop)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.clusters.gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--accepted", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
