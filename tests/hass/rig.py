"""A broker, a Home Assistant and a gateway with one simulated device of each model."""

import asyncio
import json
import math
import signal
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.chaos.process import GatewayProcess
from tests.hass.home_assistant import HomeAssistant
from tests.hass.settings import GATEWAY, entries, write
from tests.hass.snapshot import Snapshot, look
from tests.hass.verdict import missing, unknown
from tests.support.mosquitto import Mosquitto
from tests.support.polling import until
from tests.support.subscriber import Received, Subscriber

First = Literal["hass", "gateway", "both", "busy hass"]
"""Which program starts first. A busy Home Assistant gets the first announcements all at once."""

# Each device has measured everything by then, has been announced, and is shown.
_SETTLES_S = 120.0

# Devices measure at least every four seconds, and a new key is announced two seconds later.
_UNCHANGED_S = 12.0

# More keys are announced two seconds after they were seen.
_BUSY_S = 5.0

_BIRTH = "homeassistant/status"

# For a change that Home Assistant makes at once, on a busy machine.
SOON_S = 30.0


class Rig:
    """An async context manager; once entered, all three programs run.

    Attributes:
        broker: mosquitto.
        hass: Home Assistant.
        gateway: the daemon.
        subscriber: has everything that was announced and published.
        settings: entries of the settings, by model.
    """

    def __init__(
        self, folder: Path, seed: int, first: First = "hass", **more: Mapping[str, Any]
    ) -> None:
        """Prepare.

        Args:
            folder: for the files of all programs.
            seed: decides the devices' values, and the order in which they appear.
            first: which program starts first.
            more: keys of the settings, by model.
        """
        self.broker = Mosquitto(folder)
        self.hass = HomeAssistant(folder / "hass", self.broker.port)
        self.settings = entries(**more)
        self._first: First = first
        self._file = folder / "healthd.toml"
        self.configure(self.settings.values())
        self.gateway = GatewayProcess(
            ["--config", str(self._file), "--seed", str(seed)],
            {"RUNTIME_DIRECTORY": str(folder), "TZ": "UTC"},
            "tests.hass.gateway",
        )
        self.subscriber = Subscriber(self.broker.port, "homeassistant/#", f"healthd/{GATEWAY}/#")
        self._stack = AsyncExitStack()

    def configure(self, peripherals: Iterable[Mapping[str, Any]], **more: Any) -> None:
        """Write the settings file; ``reload`` or a start of the gateway reads it."""
        write(self._file, self.broker.port, peripherals, **more)

    def reload(self) -> None:
        """Make the gateway read its settings again."""
        self.gateway.signal(signal.SIGHUP)

    async def __aenter__(self) -> Self:
        """Start all."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.broker)
            await stack.enter_async_context(self.subscriber)
            stack.push_async_callback(self._end_gateway)
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all."""
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def _start(self, stack: AsyncExitStack) -> None:
        if self._first == "both":
            await asyncio.gather(self.gateway.start(), stack.enter_async_context(self.hass))
            return
        if self._first == "gateway":
            await self.gateway.start()
            await self._all_announced()
            await stack.enter_async_context(self.hass)
            return
        await stack.enter_async_context(self.hass)
        # After it the gateway would announce everything again, whatever was lost before.
        await self.subscriber.until_payload(_BIRTH, b"online", at_most=SOON_S)
        if self._first == "hass":
            await self.gateway.start()
            return
        self.hass.freeze()
        await self.gateway.start()
        await self._all_announced()
        await asyncio.sleep(_BUSY_S)
        self.hass.thaw()

    async def look(self) -> Snapshot:
        """Return what Home Assistant shows now."""
        return await look(self.hass.api, self.subscriber.messages)

    async def settled(self) -> Snapshot:
        """Wait until each device streams and each entity has a value; return what is shown then.

        If that takes too long, the snapshot shows what is wrong.
        """
        snapshot = await self.look()

        async def is_well() -> bool:
            nonlocal snapshot
            snapshot = await self.look()
            return self._is_complete() and not missing(snapshot) and not unknown(snapshot)

        await until(is_well, _SETTLES_S, poll_s=2.0)
        return snapshot

    def newest(self, topic: str) -> bytes | None:
        """Return the newest payload at a topic of the gateway, such as ``device/rower/info``."""
        found = self.subscriber.at(f"healthd/{GATEWAY}/{topic}")
        return found[-1].payload if found else None

    def _is_complete(self) -> bool:
        """Return whether all devices stream, and nothing new has been announced for a while."""
        loop = asyncio.get_running_loop()
        return loop.time() - self._changed_at() > _UNCHANGED_S and all(
            "every" in entry or self._state(entry["id"]) == "streaming"
            for entry in self.settings.values()
        )

    def _changed_at(self) -> float:
        """Return when the last announcement came that differs from the one before it."""
        newest: dict[str, bytes] = {}
        changed_at = math.inf
        for one in self.subscriber.messages:
            if (
                one.topic.startswith("homeassistant/device/")
                and newest.get(one.topic) != one.payload
            ):
                newest[one.topic], changed_at = one.payload, one.at
        return changed_at

    def _state(self, peripheral: str) -> str | None:
        info = self.newest(f"device/{peripheral}/info")
        return json.loads(info)["state"] if info else None

    async def _all_announced(self) -> None:
        topics = {
            f"homeassistant/device/{GATEWAY}_{entry['id']}/config"
            for entry in self.settings.values()
        }

        def announced(messages: list[Received]) -> bool:
            return topics <= {one.topic for one in messages}

        await self.subscriber.until(announced, _SETTLES_S)

    async def _end_gateway(self) -> None:
        if self.gateway.is_running:
            await self.gateway.kill(may_have_ended=True)
