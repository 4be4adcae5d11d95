"""A daemon whose settings stand in a file that a test rewrites, and straps on a virtual radio."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs
from structlog.typing import EventDict

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.gateway.handlers import PeripheralRequests
from healthd.gateway.reload import Source
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.simulator.air import Air
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from tests.end_to_end.fetching import address, toml
from tests.end_to_end.ward import NumberedHeart
from tests.support.subscriber import Received, Subscriber, publish
from tests.unit.supervision.listener import Listener, Message

BOUND_S = 20.0
GAP = "healthd/gateway/event/gap"

_REGISTRY = registry.load()
_PERIOD_S = 0.05
_BEHIND = "test/behind"

Entry = dict[str, Any]


def entry(peripheral: str, number: int, **more: Any) -> Entry:
    """One that is found by its address."""
    return {"id": peripheral, "address": address(number), **more}


def topic(peripheral: str, last: str) -> str:
    return f"healthd/gateway/device/{peripheral}/{last}"


class Ward:
    """The settings' file, the daemon that runs with it, and three straps.

    Attributes:
        straps: by number, from 1; their batteries are retained results.
        log: what was logged since the daemon was started.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *entries: Entry) -> None:
        """Write the first settings; nothing runs yet."""
        self.straps: dict[int, VirtualPeripheral] = {}
        self.log: list[EventDict] = []
        self._folder = folder
        self._file = folder / "healthd.toml"
        self._asked = asyncio.Event()
        self.write(settings, *entries)

    def write(self, settings: Mapping[str, Any], *entries: Entry) -> None:
        """Replace the settings."""
        self._file.write_text(toml(settings, entries))

    def spoil(self, text: str) -> None:
        """Put this behind the settings."""
        with self._file.open("a") as file:
            file.write(f"\n{text}\n")

    @asynccontextmanager
    async def running(self, environ: Mapping[str, str] | None = None) -> AsyncGenerator[None]:
        """The daemon with straps in range; it has stopped cleanly when the block is left."""
        stop, around = asyncio.Event(), {"TZ": "UTC", **(environ or {})}
        source = Source(self._asked, partial(read, self._file, around, _REGISTRY.profiles))
        notify = self._folder / "notify"
        notify.unlink(missing_ok=True)
        async with AsyncExitStack() as stack:
            self._systemd = stack.enter_context(Listener(notify))
            self.log = stack.enter_context(capture_logs())
            air = await stack.enter_async_context(Air())
            for number in (1, 2, 3):
                self.straps[number] = strap = _strap(number)
                await air.add(strap)
                await strap.appear()
            backends = Backends(air.scanner_backend, air.client_backend)
            around["NOTIFY_SOCKET"] = str(notify)
            daemon = Daemon(source.read(), _REGISTRY, around, backends)
            self._links = daemon._radio.radio._links  # pyright: ignore[reportPrivateUsage]
            sessions = daemon._peripherals.sessions  # pyright: ignore[reportPrivateUsage]
            self.fetch = PeripheralRequests(sessions).fetch
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(daemon.run(stop, source))
            stack.callback(stop.set)
            await self._told("READY", "1")
            yield

    def ask(self) -> None:
        """Have the settings read again."""
        self._asked.set()

    async def reload(self) -> list[Message]:
        """The same, and wait until that is over; what systemd was told."""
        self.ask()
        return await self._told("READY", "1")

    def reloaded(self) -> EventDict:
        """What the last reload was summed up as."""
        return [line for line in self.log if line["event"] == "reloaded"][-1]

    def link(self, number: int) -> tuple[int, int | None, int]:
        """What tells a strap's link from every other: on the radio, and in the daemon."""
        strap = self.straps[number]
        (ours,) = (id(one) for one in self._links if one.found.address == strap.address)
        return strap.links, strap.link_handle, ours

    async def _told(self, key: str, value: str) -> list[Message]:
        return await asyncio.to_thread(self._systemd.until, key, value)


async def streaming(subscriber: Subscriber, *peripherals: str, count: int = 3) -> None:
    """Wait until each has sent so many more heart rates."""
    since = len(subscriber.messages)

    def enough(messages: list[Received]) -> bool:
        topics = [one.topic for one in messages[since:]]
        return all(topics.count(topic(one, "heart_rate")) >= count for one in peripherals)

    await subscriber.until(enough, BOUND_S)


def of_healthd(subscriber: Subscriber) -> list[Received]:
    """What was not published by a test."""
    return [one for one in subscriber.messages if one.topic != _BEHIND]


async def kept(port: int) -> dict[str, bytes]:
    """What a subscriber that comes now gets from the broker's memory."""
    async with Subscriber(port, name="late") as late:
        # Behind everything that it was given when it subscribed.
        await publish(port, _BEHIND, "")
        await late.until(lambda _: late.at(_BEHIND))
        return {one.topic: one.payload for one in late.messages if one.retained}


def _strap(number: int) -> VirtualPeripheral:
    return chest_strap(f"Strap {number}", address(number), NumberedHeart(), period=_PERIOD_S)
