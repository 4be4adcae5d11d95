"""The test rig: broker, proxy, subscriber and gateway, and a ledger of all observations."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

from tests.chaos.broker import GATEWAY_PASSWORD, Broker
from tests.chaos.disk import LoopDisk
from tests.chaos.ledger import Event, Ledger
from tests.chaos.listener import Listener
from tests.chaos.observations import Key
from tests.chaos.oracle import Verdict, check
from tests.chaos.plan import ALLOWANCE_S, STRAPS, Plan
from tests.chaos.process import GatewayProcess
from tests.chaos.proxy import Proxy

_FLOWS_S, _SETTLES_S, _EVENT_S = 45.0, 90.0, 20.0


class Rig:
    """A set-up for fault tests; an async context manager. The test starts the gateway itself."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.ledger = Ledger()
        self.folder = folder
        # In memory, like systemd's RuntimeDirectory, so that disk faults do not affect the FIFO of
        # the outbox tap.
        memory = Path("/dev/shm")
        self._memory = Path(
            mkdtemp(prefix="healthd-chaos-", dir=memory if memory.is_dir() else None)
        )
        self.runtime = self._memory / "runtime"
        self.runtime.mkdir()
        self._fifo = self._memory / "accepted"
        self.disk = LoopDisk(folder) if self.plan.loop_disk else None
        self.outbox = (self.disk.mount_point if self.disk else folder) / "outbox"
        self.broker = Broker(
            folder / "broker", persistent=self.plan.persistent, options=self.plan.broker_options
        )
        self.proxy = Proxy(self.broker.port, self.ledger.acknowledge)
        self.gateway = self._gateway()
        self.boots = 1
        self._stack = AsyncExitStack()
        self._partial = b""
        self.listener: Listener

    def _gateway(self) -> GatewayProcess:
        config, password, plan = self.folder / "healthd.toml", self.folder / "password", self.plan
        password.write_text(GATEWAY_PASSWORD)
        config.write_text(plan.settings(self.proxy.port, password, self.outbox))
        arguments = ["--config", str(config), "--accepted", str(self._fifo)]
        arguments += ["--rate", str(plan.rate), "--seed", str(plan.seed), *plan.arguments]
        runtime = {"RUNTIME_DIRECTORY": str(self.runtime), "BOOT_ID": "boot-1"}
        return GatewayProcess(arguments, {**runtime, **plan.environ})

    async def __aenter__(self) -> Self:
        os.mkfifo(self._fifo)
        # Open it for writing too: otherwise it would report its end when a gateway process ends.
        self._stack.callback(rmtree, self._memory)
        accepted = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)
        loop = asyncio.get_running_loop()
        loop.add_reader(accepted, self._read_accepted, accepted)
        self._stack.callback(os.close, accepted)
        self._stack.callback(loop.remove_reader, accepted)
        try:
            if self.disk is not None:
                await self._stack.enter_async_context(self.disk)
            await self._stack.enter_async_context(self.broker)
            listener = Listener(self.broker.port, self.ledger)
            self.listener = await self._stack.enter_async_context(listener)
            await self._stack.enter_async_context(self.proxy)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.gateway.is_running:
            await self.gateway.kill()
        await self._stack.aclose()

    def _read_accepted(self, fifo: int) -> None:
        *lines, self._partial = (self._partial + os.read(fifo, 65536)).split(b"\n")
        for line in lines:
            self.ledger.accept(line.decode())
        self.listener.changed.set()

    async def until(self, condition: Callable[[], bool], at_most: float, what: str) -> None:
        """Wait until a condition on the ledger is true."""
        try:
            async with asyncio.timeout(at_most):
                while not condition():
                    self.listener.changed.clear()
                    await self.listener.changed.wait()
        except TimeoutError:
            last = [line for line in self.gateway.log[-5:] if line["level"] != "info"]
            running = "is running" if self.gateway.is_running else "is not running"
            message = f"not within {at_most:.0f} s: {what}; the gateway {running}: {last}"
            raise AssertionError(message) from None

    async def wait_for_flow(self, at_most: float = _FLOWS_S) -> float:
        """Wait until each strap has a new live sample delivered; return the seconds it took."""
        since = time.monotonic_ns()
        known, candidates = len(self.ledger.deliveries), set[Key]()

        def all_straps_flow() -> bool:
            nonlocal known
            new, known = self.ledger.deliveries[known:], len(self.ledger.deliveries)
            live = (delivery.key for delivery in new if not delivery.history)
            candidates.update(key for key in live if key.stream == "heart_rate")
            accepted_at = self.ledger.accepted_at
            flowing = {key.peripheral for key in candidates if accepted_at.get(key, 0) >= since}
            return flowing == set(STRAPS)

        await self.until(all_straps_flow, at_most, "live samples of every strap")
        return (time.monotonic_ns() - since) / 1e9

    async def settle(self, at_most: float = _SETTLES_S) -> None:
        """Wait until all samples accepted so far have arrived or are excused.

        Samples that do not arrive in time count as lost, and later calls do not wait for them.
        """
        until_ns = time.monotonic_ns()
        with suppress(AssertionError):
            await self.until(lambda: self.ledger.is_settled(until_ns), at_most, "settled")
        self.ledger.give_up(until_ns)

    async def verdict(self, at_most: float = _SETTLES_S) -> Verdict:
        """Wait until all samples are settled, and check the observations."""
        await self.settle(at_most)
        return check(self.ledger.observations())

    async def end_all_faults(self) -> None:
        """End all faults that are still active."""
        self.proxy.delay_s, self.proxy.one_byte = 0.0, False
        self.proxy.release()
        if self.broker.is_running:
            self.broker.thaw()
        else:
            self.ledger.broker_killed()
            await self.broker.start()
        await self.listener.subscribed()
        await self.broker.deny()
        await self.broker.change_password(GATEWAY_PASSWORD)
        if not self.proxy.listens:
            await self.proxy.listen()
        if self.gateway.is_running:
            self.gateway.signal(signal.SIGCONT)
            self.gateway.allow_writes()
        else:
            await self.gateway.start()

    async def wait_for_event(
        self, kind: str, *, since: int = 0, at_most: float = _EVENT_S, **fields: str
    ) -> Event:
        """Wait for an event of the gateway, from index ``since`` on, with these fields."""

        def found() -> Event | None:
            return next(
                (
                    event
                    for event in self.ledger.events[since:]
                    if event.kind == kind and fields.items() <= event.fields.items()
                ),
                None,
            )

        await self.until(lambda: found() is not None, at_most, f"event/{kind} {fields}")
        event = found()
        assert event is not None
        return event

    async def kill_gateway(self, *, without_disk: bool = False) -> None:
        """Kill the gateway and record the crash; ``without_disk`` cuts its disk's power first."""
        # Take the time before the kill: samples accepted in between are younger.
        mono_ns = time.monotonic_ns()
        if without_disk and self.disk is not None:
            self.disk.cut_power()
        # Without its disk it may already have crashed because of a page that it cannot read.
        await self.gateway.kill(may_have_ended=without_disk)
        # Without a logged run id it cannot have accepted any sample.
        if run := self.gateway.run:
            self.ledger.crash(run, ALLOWANCE_S[self.plan.write], mono_ns)

    def reboot(self) -> None:
        """Simulate a new boot: empty memory-backed folders and a new boot id."""
        for file in self.runtime.iterdir():
            file.unlink()
        self.boots += 1
        self.gateway.environ["BOOT_ID"] = f"boot-{self.boots}"
