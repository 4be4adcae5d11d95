"""The daemon on simulated devices, and what it publishes about runs of periodic peripherals."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.gateway.surroundings import Surroundings
from healthd.profiles import registry
from healthd.profiles.registry import Registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.device import VirtualDevice
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.subscriber import Received, Subscriber

BOUND_S = 30.0
FETCH = "healthd/gateway/event/fetch"
# So rare that a device sends one result, or what it has stored, on each of its links.
SELDOM_S = 8.0

_REGISTRY = registry.load()


def device(model: str, number: int, period: float = SELDOM_S) -> VirtualPeripheral:
    return CATALOGUE[model].make(address(number), random.Random(number), period=period)


def address(number: int) -> str:
    return f"C0:5E:5E:00:00:{number:02X}"


@asynccontextmanager
async def gateway(
    subscriber: Subscriber,
    settings: dict[str, Any],
    entries: Sequence[Mapping[str, Any]],
    environ: Mapping[str, str] | None = None,
    known: Registry = _REGISTRY,
    surroundings: Surroundings | None = None,
) -> AsyncGenerator[Air]:
    """Run the daemon with these peripherals; after the block it has stopped and delivered all."""
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        backends = Backends(air.scanner_backend, air.client_backend)
        whole = Settings.model_validate({**settings, "peripherals": entries})
        with_zone = {"TZ": "UTC", **(environ or {})}
        tasks.create_task(Daemon(whole, known, with_zone, backends, surroundings).run(stop))
        try:
            yield air
        finally:
            before = len(subscriber.messages)
            stop.set()
    await subscriber.until_payload("healthd/gateway/status", b"offline", since=before)


async def add(air: Air, *devices: VirtualDevice) -> None:
    for device in devices:
        await air.add(device)
        await device.appear()


def runs(messages: Iterable[Received], peripheral: str) -> list[dict[str, Any]]:
    events = [message.json() for message in messages if message.topic == FETCH]
    return [event for event in events if event["peripheral"] == peripheral]


async def until_runs(subscriber: Subscriber, **numbers: int) -> None:
    await subscriber.until(
        lambda all_: all(len(runs(all_, name)) >= number for name, number in numbers.items()),
        BOUND_S,
    )


def live(subscriber: Subscriber, peripheral: str, kind: str) -> list[dict[str, Any]]:
    where = f"healthd/gateway/device/{peripheral}/{kind}"
    return [one.json() for one in subscriber.at(where)]


def info(messages: Iterable[Received], peripheral: str) -> dict[str, Any]:
    """Return the newest info of a peripheral."""
    where = f"healthd/gateway/device/{peripheral}/info"
    found = [message.json() for message in messages if message.topic == where]
    return found[-1] if found else {}


def toml(settings: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> str:
    """Return settings as a file; strings, numbers and arrays of JSON are valid TOML."""
    sections = [(f"[{name}]", keys) for name, keys in settings.items()]
    sections += [("[[peripherals]]", entry) for entry in entries]
    lines = [
        [header, *(f"{key} = {json.dumps(value, default=str)}" for key, value in keys.items())]
        for header, keys in sections
    ]
    return "\n".join(line for section in lines for line in section)
