"""Outbox and publisher, wired as in the daemon, for tests with brokers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from healthd.host.clock import Clock
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.publisher import Publisher
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import RunFile
from healthd.outbox.disk import DiskFailing
from healthd.outbox.outbox import Outbox
from healthd.outbox.store import Store
from healthd.runs import Run
from healthd.samples import Measurement, Sample, Stamp
from healthd.settings.model import OutboxSettings
from healthd.supervision.supervisor import root_cause
from tests.support.mosquitto import HOST

BOUND_S = 20.0

TOPICS = Topics("healthd", "gw")

# How soon the tests' gateways try again; in the daemon the supervisor decides.
RETRY_S = 0.05


class Broker(Protocol):
    """Any broker on this machine."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...


class Beat(Measurement):
    """A sample of a continuous stream."""

    kind: ClassVar[str] = "beat"


class Weight(Measurement):
    """A result, which is retained."""

    kind: ClassVar[str] = "weight"
    retained: ClassVar[bool] = True

    grams: int


class Gateway:
    """Outbox and publisher, wired as in the daemon; an async context manager.

    Attributes:
        faults: why connections ended or could not be made.
        put: every sample that was put into the outbox.
        connects: how many connections it has had.
        inbox: receives messages.
    """

    def __init__(self, folder: Path, *brokers: Broker | Endpoint, write: str = "around") -> None:
        self.faults: list[ConnectionLost] = []
        self.put: list[Sample] = []
        self.connects = 0
        self.run = Run(Clock(folder / "no-timesyncd"), {"BOOT_ID": "boot"})
        settings = OutboxSettings.model_validate({"max_size": 16_000_000, "write": write})
        self.path = folder / "outbox.sqlite3"
        self.outbox = Outbox(self.run, settings, folder, RunFile(None, "gw"))
        endpoints = tuple(b if isinstance(b, Endpoint) else endpoint_of(b) for b in brokers)
        self.inbox, retained = Inbox(), RetainedTopics(folder)
        self.publisher = Publisher(endpoints, TOPICS, self.outbox, self.run, self.inbox, retained)
        for peripheral in ("strap", "scale"):
            self.publisher.track_retained(peripheral)
        self._changed = asyncio.Condition()
        self._stack = AsyncExitStack()
        self._publishing: asyncio.Task[None] | None = None
        self._rounds = 0

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.outbox)
        self._storing = asyncio.create_task(self._store())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()
        await end_task(self._storing)
        await self._stack.aclose()

    def connect(self) -> None:
        """Connect, and reconnect whenever the connection ends."""
        self._publishing = asyncio.create_task(self._publish())

    async def disconnect(self) -> None:
        """Break the connection, and do not reconnect."""
        if self._publishing is not None:
            await end_task(self._publishing)
            self._publishing = None

    def sample(
        self, count: int = 1, *, age_s: float = 0.0, stream: str = "beat", peripheral: str = "strap"
    ) -> list[Sample]:
        """Put this many samples into the outbox."""
        made: list[Sample] = []
        for _ in range(count):
            age_ns = int(age_s * 1e9)
            stamp = Stamp(time.time_ns() - age_ns, time.monotonic_ns() - age_ns, "synced")
            made.append(self.run.sample(peripheral, stream, Beat(), stamp))
            self.outbox.put(made[-1])
        self.put += made
        return made

    async def connected(self, times: int = 1) -> None:
        """Wait until it has had this many connections."""
        await self.until(lambda: self.connects >= times)

    async def failed(self, reason: str) -> ConnectionLost:
        """Wait for a fault with this reason; return the first one."""
        await self.until(lambda: any(fault.reason == reason for fault in self.faults))
        return next(fault for fault in self.faults if fault.reason == reason)

    async def finished(self) -> None:
        """Wait until the publisher's service has returned."""
        assert self._publishing is not None
        async with asyncio.timeout(BOUND_S):
            await self._publishing

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until this is true; it is asked after every change."""
        try:
            async with asyncio.timeout(BOUND_S), self._changed:
                await self._changed.wait_for(reached)
        except TimeoutError:
            raise AssertionError((self.connects, self.faults)) from None

    async def stored(self) -> dict[tuple[str, str], int]:
        """Return how many samples of each stream wait on disk."""
        return (await self.outbox._disk.call(Store.depth)).counts  # pyright: ignore[reportPrivateUsage]

    async def on_disk(self, count: int) -> None:
        """Wait until this many samples wait on disk."""
        async with asyncio.timeout(BOUND_S):
            while (await self.outbox.stats())["on_disk"] != count:
                rounds = self._rounds
                await self.until(lambda rounds=rounds: self._rounds > rounds)

    async def _publish(self) -> None:
        while True:
            try:
                return await self.publisher.run(self._mark_connected)
            except Exception as error:
                cause = root_cause(error)
                if not isinstance(cause, ConnectionLost):
                    raise
                self.faults.append(cause)
            await self._notify()
            await asyncio.sleep(RETRY_S)

    async def _store(self) -> None:
        while True:
            with suppress(DiskFailing):
                await self.outbox.run(self._mark_round)

    def _mark_connected(self) -> None:
        self.connects += 1
        self._notifying = asyncio.create_task(self._notify())

    def _mark_round(self) -> None:
        self._rounds += 1
        self._notifying_round = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def endpoint_of(broker: Broker, **fields: Any) -> Endpoint:
    """Return how to connect to the broker."""
    known: dict[str, Any] = {"version": "5", "will_topic": TOPICS.status, **fields}
    return Endpoint(host=HOST, port=broker.port, client_id="gateway-under-test", **known)


@asynccontextmanager
async def connected(folder: Path, *brokers: Broker | Endpoint) -> AsyncGenerator[Gateway]:
    """Yield a connected gateway."""
    async with Gateway(folder, *brokers) as gateway:
        gateway.connect()
        await gateway.connected()
        yield gateway
