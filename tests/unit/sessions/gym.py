"""A bike and a treadmill on a virtual radio, and requests to them."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from healthd.profiles import registry
from healthd.profiles.fitness_machine.limits import Limits
from healthd.profiles.fitness_machine.machine import Range
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.hold import Rules
from healthd.sessions.session import Session
from healthd.simulator.air import Air
from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.fitness.treadmill import Treadmill, treadmill_part
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.verbs import (
    OfPeripheral,
    RequestRefused,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Stop,
)
from tests.support import virtual_time
from tests.support.stage import News, Stage, Watcher, address, by_address, cancel

LEASE_S = 30.0
RULES = Rules(Limits(speed_mps=Range(0, 4), grade_pct=Range(-15, 15)), LEASE_S)
ENTRY = by_address(1, "machine")

# Opcodes.
CONTROL, RESET, SPEED, RESISTANCE, POWER, START, STOP, ROAD = 0, 1, 2, 4, 5, 7, 8, 0x11
FLAT = bytes.fromhex("1100000000 2833")

Machine = Bike | Treadmill


def power(watts: int = 300) -> SetTargetPower:
    return SetTargetPower(peripheral="machine", power_w=watts)


def resistance(level: float = 50) -> SetTargetResistance:
    return SetTargetResistance(peripheral="machine", resistance_level=level)


def speed(mps: float = 3) -> SetTargetSpeed:
    return SetTargetSpeed(peripheral="machine", speed_mps=mps)


def stop() -> Stop:
    return Stop(peripheral="machine")


@dataclass
class Gym(News):
    """A machine that streams, and its session.

    Attributes:
        machine: the simulated machine.
        commands: what was written to its control point, in order.
    """

    machine: Machine
    peripheral: VirtualPeripheral
    session: Session
    running: "asyncio.Task[None]"
    watcher: Watcher
    commands: list[bytes]

    def __post_init__(self) -> None:
        super().__init__()
        self.machine.control.record = self._record

    @property
    def bike(self) -> Bike:
        assert isinstance(self.machine, Bike)
        return self.machine

    @property
    def points(self) -> ControlPoints:
        """The control points of its link."""
        points = self.session.remote._points  # pyright: ignore[reportPrivateUsage]
        assert points is not None
        return points

    @property
    def reports(self) -> list[tuple[str, str | None, str | None]]:
        """The control events: change, verb and reason."""
        events = self.watcher.control
        return [(event["change"], event.get("verb"), event.get("reason")) for event in events]

    @property
    def changes(self) -> list[str]:
        return [event["change"] for event in self.watcher.control]

    @property
    def statuses(self) -> list[bytes]:
        """The status notifications of the machine about its targets and control (0x2ADA)."""
        return [value for _, uuid, value in self.watcher.values if uuid == "2ada"]

    async def ask(self, request: OfPeripheral) -> Mapping[str, Any]:
        return await self.session.remote.ask(request)

    def asking(self, request: OfPeripheral) -> "asyncio.Task[Mapping[str, Any]]":
        return asyncio.create_task(self.ask(request), name=request.verb)

    async def refused(self, request: OfPeripheral) -> str:
        with pytest.raises(RequestRefused) as refused:
            await self.ask(request)
        return str(refused.value)

    async def written(self, number: int) -> None:
        """Wait for this many commands."""
        await self.until(lambda: len(self.commands) >= number)

    async def wait_for(self, change: str, times: int = 1) -> None:
        await self.watcher.until(lambda: self.changes.count(change) >= times)

    def answer(self, opcode: int, result: int = 1) -> None:
        """Make the machine send an answer that it has not sent."""
        self.machine.control.control.feed.put(bytes([0x80, opcode, result]))

    def slow(self, seconds: float, *opcodes: int) -> None:
        """Delay the answers to these opcodes."""

        def record(request: bytes) -> None:
            self._record(request)
            if request[0] in opcodes:
                asyncio.get_running_loop().call_later(seconds, self.answer, request[0])

        self.machine.control.record = record
        self.machine.control.oddities.update(dict.fromkeys(opcodes))

    def accept_resistance_of(self, size: int | None) -> None:
        """Make the machine refuse a target resistance unless it has this size with its opcode."""

        def record(request: bytes) -> None:
            self._record(request)
            if request[0] == RESISTANCE:
                self.machine.control.oddities[RESISTANCE] = 1 if len(request) == size else 3

        self.machine.control.record = record

    def forget(self) -> None:
        """Clear the commands and control events so far."""
        self.commands.clear()
        self.watcher.control.clear()

    def _record(self, request: bytes) -> None:
        self.commands.append(request)
        self.changed()


Body = Callable[[Gym], Coroutine[Any, Any, None]]


@dataclass
class Play:
    """Runs a test body with a gym, in virtual time."""

    patch: pytest.MonkeyPatch

    def __call__(self, body: Body, make: Callable[[random.Random], Machine] = Bike) -> None:
        async def whole() -> None:
            async with gym(make(random.Random(1))) as made:
                await body(made)

        virtual_time.run(whole, self.patch)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(monkeypatch)


@asynccontextmanager
async def gym(machine: Machine) -> AsyncGenerator[Gym]:
    """Make a machine, and a session that streams from it and disconnects at the end."""
    part = bike_part(machine, 1.0) if isinstance(machine, Bike) else treadmill_part(machine, 1.0)
    async with streaming([part]) as (stage, peripheral, session, running):
        yield Gym(machine, peripheral, session, running, stage.watcher, [])


@asynccontextmanager
async def streaming(
    parts: list[Part],
) -> AsyncGenerator["tuple[Stage, VirtualPeripheral, Session, asyncio.Task[None]]"]:
    async with Air() as air:
        stage = Stage(air, registry.load())
        async with stage.radio(ENTRY) as radio:
            peripheral = await stage.add(VirtualPeripheral("Machine", address(1), parts))
            session = stage.session(radio, ENTRY, rules=RULES)
            running = asyncio.create_task(session.run(lambda: None), name="session")
            # When the first value arrives, everything is connected.
            await stage.watcher.until(lambda: stage.watcher.values and _streams(stage))
            yield stage, peripheral, session, running
            if not running.done():
                await cancel(running)


def _streams(stage: Stage) -> bool:
    return any(stage.watcher.count(uuid) for uuid in ("2ad2", "2acd", "2a37"))


def now() -> float:
    return time.monotonic()
