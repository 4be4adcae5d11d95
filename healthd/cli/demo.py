"""``healthd demo``: run the daemon with simulated peripherals and show their samples live."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from healthd.central.link import Backends
from healthd.cli.live.follow import follow
from healthd.cli.live.view import view
from healthd.cli.run import until_signal
from healthd.cli.watch import listener
from healthd.gateway.daemon import Daemon
from healthd.host.folders import state_folder
from healthd.log import configure, get_logger
from healthd.mqtt.endpoints import Endpoint
from healthd.profiles import registry
from healthd.profiles.registry import Registry
from healthd.settings.file import read
from healthd.settings.keys import Keys
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.broadcasting.catalogue import BroadcastModel
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE, Model
from healthd.simulator.device import VirtualDevice
from healthd.simulator.heart import ReplayedHeart
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from healthd.simulator.world import address_of, peripherals_for

_DROPPING = address_of(1)
# One of each: found by its address, by its name, and by its service.
_PERIPHERALS: list[dict[str, Any]] = [
    {"id": "chest-strap", "address": _DROPPING},
    {"id": "polar-h10", "name": "Polar H10*"},
    {"id": "late-strap", "service": "heart_rate"},
]

# Late enough that the other peripherals already stream.
_APPEARS_AFTER_S = 3.0

# The first drop is well within `--seconds 10`; later ones are rare enough to read the table.
_DROPS_AFTER_S, _DROPS_EVERY_S = 5.0, 30.0

AnyModel = Model | BroadcastModel


def main(seconds: float | None, config: Path | None, models: Sequence[AnyModel] = ()) -> int:
    """Run until SIGINT or SIGTERM, or for ``seconds``.

    Args:
        seconds: how long; None for no limit.
        config: simulate the peripherals of these settings and use their broker; None for the
            demo's own peripherals and embedded broker.
        models: the demo's own peripherals; if empty, three straps, of which one appears late and
            one drops its link.

    Returns:
        The exit code: 0, 1 failed, 78 bad settings.
    """
    configure()
    # bumble warns about every packet in transit when a link ends; the demo ends links on purpose.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    if models:
        return until_signal(lambda stop: _models_demo(seconds, models, stop))
    if config is None:
        return until_signal(lambda stop: _own_demo(seconds, stop))
    return until_signal(lambda stop: _users_demo(seconds, config, stop))


async def _own_demo(seconds: float | None, stop: asyncio.Event) -> None:
    async with _own_settings(_PERIPHERALS) as settings:
        rng = random.Random()
        dropping = CATALOGUE["heart_rate"].make(_DROPPING, rng, name="Strap 1")
        replayed = chest_strap("Polar H10 5E", "C0:5E:5E:00:01:00", ReplayedHeart())
        late = CATALOGUE["heart_rate"].make(address_of(3), rng, name="Strap 3")
        async with _air([dropping, replayed, late]) as air:
            script = asyncio.create_task(_script(dropping, replayed, late), name="demo-script")
            try:
                await _show(settings, registry.load(), air, seconds, stop)
            finally:
                script.cancel()


async def _models_demo(
    seconds: float | None, models: Sequence[AnyModel], stop: asyncio.Event
) -> None:
    """Simulate one peripheral of each model, found by its address."""
    rng = random.Random()
    peripherals: list[VirtualDevice] = []
    entries: list[dict[str, Any]] = []
    for number, model in enumerate(models, start=1):
        name, address = model.name.replace("_", "-"), address_of(number)
        peripherals.append(model.make(address, rng))
        entries.append({"id": name, "address": address, **model.settings})
    async with _own_settings(entries) as settings, _air(peripherals) as air:
        _store_keys(settings, models)
        for peripheral in peripherals:
            await peripheral.appear()
        await _show(settings, registry.load(), air, seconds, stop)


def _store_keys(settings: Settings, models: Sequence[AnyModel]) -> None:
    """Keep the keys of the models, as if they had been paired."""
    keys = Keys(state_folder(settings.outbox.directory, os.environ))
    keys.make_folder()
    for entry, model in zip(settings.peripherals, models, strict=True):
        if isinstance(model, Model) and model.key is not None:
            keys.store(entry.id, model.key)


@asynccontextmanager
async def _own_settings(peripherals: Sequence[Mapping[str, Any]]) -> AsyncGenerator[Settings]:
    """Yield settings with a running embedded broker and a temporary folder for the outbox."""
    async with EmbeddedBroker() as broker:
        with TemporaryDirectory(prefix="healthd-demo-") as folder:
            yield Settings.model_validate(
                {
                    "gateway": {"id": "demo"},
                    "mqtt": {"brokers": [f"{broker.host}:{broker.port}"]},
                    # The simulated adapter has a slot for every peripheral.
                    "bluetooth": {"slots": len(peripherals)},
                    "outbox": {"directory": folder, "max_size": "4MB"},
                    "peripherals": peripherals,
                }
            )


async def _users_demo(seconds: float | None, config: Path, stop: asyncio.Event) -> None:
    known = registry.load()
    settings = read(config, os.environ, known.listed)
    peripherals = peripherals_for(settings.peripherals, random.Random()).values()
    async with _air(peripherals) as air:
        for peripheral in peripherals:
            await peripheral.appear()
        await _show(settings, known, air, seconds, stop)


@asynccontextmanager
async def _air(peripherals: Collection[VirtualDevice]) -> AsyncGenerator[Air]:
    async with Air() as air:
        for peripheral in peripherals:
            await air.add(peripheral)
        yield air


async def _script(
    dropping: VirtualPeripheral, steady: VirtualPeripheral, late: VirtualPeripheral
) -> None:
    """Let one peripheral appear late and another one drop its link from time to time."""
    await dropping.appear()
    await steady.appear()
    await asyncio.sleep(_APPEARS_AFTER_S)
    await late.appear()
    await asyncio.sleep(_DROPS_AFTER_S - _APPEARS_AFTER_S)
    while True:
        await dropping.drop()
        await asyncio.sleep(_DROPS_EVERY_S)


async def _show(
    settings: Settings, known: Registry, air: Air, seconds: float | None, stop: asyncio.Event
) -> None:
    """Run the daemon together with a subscriber that shows what it publishes."""
    endpoint = listener(settings)
    subscribe = subscribe_line(endpoint, settings.mqtt.prefix)
    backends = Backends(air.scanner_backend, air.client_backend)
    ended = asyncio.Event()
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    level, prefix = settings.log.level, settings.mqtt.prefix
    async with view("healthd demo", subscribe, level, prefix) as messages:
        get_logger().info("demo", broker=f"{endpoint.host}:{endpoint.port}", subscribe=subscribe)
        daemon = Daemon(settings, known, os.environ, backends)
        async with asyncio.TaskGroup() as tasks:
            topics = f"{prefix}/{settings.gateway.id}/#"
            following = tasks.create_task(
                follow(endpoint, topics, messages, ended), name="demo-follow"
            )
            # It ends early if the reader of a pipe is gone; otherwise the daemon has stopped.
            following.add_done_callback(lambda _: stop.set())
            await daemon.run(stop)
            ended.set()


def subscribe_line(endpoint: Endpoint, prefix: str) -> str:
    """Return the command that shows the same messages in another terminal."""
    version = "5" if endpoint.version == "5" else "311"
    where = f"-h {endpoint.host} -p {endpoint.port} -V mqttv{version}"
    return f"mosquitto_sub {where} -t '{prefix}/#' -v"
