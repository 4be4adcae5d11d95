"""A daemon whose settings file is rewritten by a test, and straps on a simulated radio."""

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
from healthd.simulator.air import Air, VirtualDevice
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from tests.end_to_end.simulated_gateway import address, toml
from tests.end_to_end.strap_rig import NumberedHeart
from tests.support.subscriber import Received, Subscriber, publish
from tests.unit.supervision.listener import Listener, Message

BOUND_S = 20.0
GAP = "healthd/gateway/event/gap"

_REGISTRY = registry.load()
_PERIOD_S = 0.05
_MARKER = "test/marker"

Entry = dict[str, Any]


def entry(peripheral: str, number: int, **more: Any) -> Entry:
    """Return an entry that is found by its address."""
    return {"id": peripheral, "address": address(number), **more}


def topic(peripheral: str, last: str) -> str:
    return f"healthd/gateway/device/{peripheral}/{last}"


class ReloadRig:
    """The settings file, the daemon that runs with it, and three straps.

    Attributes:
        straps: by number, from 1; their batteries are retained results.
        log: what was logged since the start of the daemon.
        air: the radio, while the daemon runs.
    """

    air: Air

    def __init__(self, folder: Path, settings: Mapping[str, Any], *entries: Entry) -> None:
        """Write the first settings; nothing runs yet."""
        self.straps: dict[int, VirtualPeripheral] = {}
        self.log: list[EventDict] = []
        self._folder = folder
        self._file = folder / "healthd.toml"
        self._requested = asyncio.Event()
        self.write(settings, *entries)

    def write(self, settings: Mapping[str, Any], *entries: Entry) -> None:
        """Replace the settings."""
        self._file.write_text(toml(settings, entries))

    def append(self, text: str) -> None:
        """Append text to the settings."""
        with self._file.open("a") as file:
            file.write(f"\n{text}\n")

    @asynccontextmanager
    async def running(
        self, environ: Mapping[str, str] | None = None, *others: VirtualDevice
    ) -> AsyncGenerator[None]:
        """Run the daemon with straps and others in range; it stops cleanly after the block."""
        stop, full_environ = asyncio.Event(), {"TZ": "UTC", **(environ or {})}
        read_file = partial(read, self._file, full_environ, _REGISTRY.listed)
        source = Source(self._requested, read_file)
        notify = self._folder / "notify"
        notify.unlink(missing_ok=True)
        async with AsyncExitStack() as stack:
            self._systemd = stack.enter_context(Listener(notify))
            self.log = stack.enter_context(capture_logs())
            self.air = air = await stack.enter_async_context(Air())
            for number in (1, 2, 3):
                self.straps[number] = _strap(number)
            for device in (*self.straps.values(), *others):
                await air.add(device)
                await device.appear()
            backends = Backends(air.scanner_backend, air.client_backend)
            full_environ["NOTIFY_SOCKET"] = str(notify)
            daemon = Daemon(source.read(), _REGISTRY, full_environ, backends)
            self._links = daemon._radio.radio._links  # pyright: ignore[reportPrivateUsage]
            sessions = daemon._peripherals.sessions  # pyright: ignore[reportPrivateUsage]
            self.fetch = PeripheralRequests(sessions).fetch
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(daemon.run(stop, source))
            stack.callback(stop.set)
            await self._until_notified("READY", "1")
            yield

    def request_reload(self) -> None:
        """Request a reload of the settings."""
        self._requested.set()

    async def reload(self) -> list[Message]:
        """Reload the settings; return the messages to systemd."""
        self.request_reload()
        return await self._until_notified("READY", "1")

    def reloaded(self) -> EventDict:
        """Return the log line of the last reload."""
        return [line for line in self.log if line["event"] == "reloaded"][-1]

    def link_identity(self, number: int) -> tuple[int, int | None, int]:
        """Return what identifies a strap's link, on the radio and in the daemon."""
        strap = self.straps[number]
        (ours,) = (id(one) for one in self._links if one.found.address == strap.address)
        return strap.links, strap.link_handle, ours

    async def _until_notified(self, key: str, value: str) -> list[Message]:
        return await asyncio.to_thread(self._systemd.until, key, value)


async def until_streaming(subscriber: Subscriber, *peripherals: str, count: int = 3) -> None:
    """Wait until ``count`` more heart rates of each peripheral have arrived, and it is online.

    The first heart rates may arrive before its state and status.
    """
    since = len(subscriber.messages)

    def is_streaming(messages: list[Received], peripheral: str) -> bool:
        rates = [one for one in messages[since:] if one.topic == topic(peripheral, "heart_rate")]
        newest = {one.topic: one for one in messages}
        status = newest.get(topic(peripheral, "status"))
        info = newest.get(topic(peripheral, "info"))
        return (
            len(rates) >= count
            and status is not None
            and status.payload == b"online"
            and info is not None
            and info.json()["state"] == "streaming"
        )

    def enough(messages: list[Received]) -> bool:
        return all(is_streaming(messages, peripheral) for peripheral in peripherals)

    await subscriber.until(enough, BOUND_S)


def of_healthd(subscriber: Subscriber) -> list[Received]:
    """Return the messages that were not published by a test."""
    return [one for one in subscriber.messages if one.topic != _MARKER]


async def retained(port: int) -> dict[str, bytes]:
    """Return the retained messages at the broker."""
    async with Subscriber(port, name="late") as late:
        # This arrives after all retained messages.
        await publish(port, _MARKER, "")
        await late.until(lambda _: late.at(_MARKER))
        return {one.topic: one.payload for one in late.messages if one.retained}


def _strap(number: int) -> VirtualPeripheral:
    return chest_strap(f"Strap {number}", address(number), NumberedHeart(), period=_PERIOD_S)
