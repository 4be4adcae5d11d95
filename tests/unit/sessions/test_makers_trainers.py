"""Trainers of FE-C and KICKRs under a session: answers that do not come, stops, and the lease."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from healthd.central.faults import LinkFault
from healthd.profiles import registry
from healthd.profiles.fitness_machine.limits import Limits
from healthd.profiles.fitness_machine.machine import Range
from healthd.sessions.hold import Rules
from healthd.sessions.session import Session
from healthd.simulator.air import Air
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.fec import FecTrainer, framed, trainer_part
from healthd.simulator.vendor.kickr import KickrBrake, kickr_parts
from healthd.verbs import OfPeripheral, Release, RequestRefused, SetTargetPower, Stop
from tests.support import virtual_time
from tests.support.stage import Stage, address, by_address, cancel

LEASE_S = 30.0
RULES = Rules(Limits(power_w=Range(0, 400), grade_pct=Range(-15, 15)), LEASE_S)
ENTRY = by_address(1, "trainer")
FLAT = "33ffffffff204e50"
STREAM = "6e40fec2-b5a3-f393-e0a9-e50e24dcca9e"


def power(watts: int) -> SetTargetPower:
    return SetTargetPower(peripheral="trainer", power_w=watts)


@dataclass
class Room:
    """A trainer that streams, and its session."""

    session: Session
    peripheral: VirtualPeripheral
    stage: Stage
    running: "asyncio.Task[None]"

    async def link_again(self, stream: str) -> None:
        """Lose the link, make another one, and return when it has streamed for a while."""
        await self.peripheral.drop()
        with pytest.raises(LinkFault):
            await self.running
        count = self.stage.watcher.count(stream) + 8
        self.running = asyncio.create_task(self.session.run(lambda: None), name="session")
        await self.stage.watcher.until(lambda: self.stage.watcher.count(stream) > count)

    @property
    def changes(self) -> list[tuple[str, str | None]]:
        return [(event["change"], event.get("reason")) for event in self.stage.watcher.control]

    async def ask(self, request: OfPeripheral) -> Any:
        return await self.session.remote.ask(request)

    async def wait_for(self, change: str) -> None:
        await self.stage.watcher.until(lambda: change in [each for each, _ in self.changes])


@asynccontextmanager
async def room(parts: list[Part], stream: str) -> AsyncGenerator[Room]:
    async with Air() as air:
        stage = Stage(air, registry.load())
        async with stage.radio(ENTRY) as radio:
            peripheral = await stage.add(VirtualPeripheral("Trainer", address(1), parts))
            session = stage.session(radio, ENTRY, rules=RULES)
            running = asyncio.create_task(session.run(lambda: None), name="session")
            await stage.watcher.until(lambda: stage.watcher.count(stream))
            made = Room(session, peripheral, stage, running)
            yield made
            await cancel(made.running)


Body = Callable[[Room, FecTrainer, list[bytes]], Coroutine[Any, Any, None]]


@pytest.fixture
def ride(monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    """Run a test body with a trainer of FE-C, in virtual time."""

    def run(body: Body) -> None:
        async def whole() -> None:
            trainer, pages = FecTrainer(random.Random(1)), list[bytes]()
            trainer.record = lambda frame: pages.append(frame[4:12])
            parts = [trainer_part(trainer, 0.25)]
            async with room(parts, STREAM) as made:
                await body(made, trainer, pages)

        virtual_time.run(whole, monkeypatch)

    return run


Ride = Callable[[Body], None]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_trainer_that_never_answers_is_waited_for_once(ride: Ride) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        trainer.answers = False
        waits: list[float] = []
        for watts in (150, 160, 170):
            began = now()
            assert (await room.ask(power(watts)))["power_w"] == watts
            waits.append(now() - began)
            assert trainer.target_w == watts
        assert waits[0] == pytest.approx(1.5, abs=0.3)
        assert max(waits[1:]) < 0.3
        # Nor is it asked again for what it does not answer.
        assert [page[6] for page in pages if page[0] == 0x46] == [0x36, 0x47]

    ride(body)


def test_a_trainer_that_has_answered_before_is_waited_for(ride: Ride) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        await room.ask(power(150))
        trainer.answers = False
        await room.ask(power(160))
        trainer.answers = True
        trainer.statuses[0x31] = 3
        with pytest.raises(RequestRefused, match="invalid_parameter"):
            await room.ask(power(170))

    ride(body)


def test_the_status_of_a_command_before_is_not_its_answer(ride: Ride) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        await room.ask(power(150))
        trainer.statuses[0x31] = 1
        # What it says about the first command while the second is written.
        stale = framed(bytes.fromhex("4731") + bytes([1, 0, 0xFF, 0xFF, 0x58, 0x02]))
        trainer.record = lambda _: trainer.feed.put(stale)
        with pytest.raises(RequestRefused, match="operation_failed"):
            await room.ask(power(160))

    ride(body)


def test_a_stop_makes_the_road_flat_even_if_nothing_was_held(ride: Ride) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        trainer.bike.target_w = 300  # Another program's, or of before a restart.
        await room.ask(Stop(peripheral="trainer"))
        assert trainer.target_w is None
        assert {page.hex() for page in pages if page[0] != 0x46} == {FLAT}
        assert room.changes == [("granted", None), ("stopped", None), ("released", "stop")]

    ride(body)


def test_a_release_of_what_is_not_held_writes_nothing(ride: Ride) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        assert await room.ask(Release(peripheral="trainer")) == {"released": False}
        assert all(page[0] == 0x46 for page in pages)

    ride(body)


def test_it_is_released_within_a_second_after_the_lease_though_it_does_not_answer(
    ride: Ride,
) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        await room.ask(power(150))
        began, flat_at = now(), list[float]()
        trainer.answers = False
        trainer.record = lambda frame: flat_at.append(now()) if frame[4] == 0x33 else None
        await room.wait_for("released")
        assert trainer.target_w is None
        assert LEASE_S - 0.6 <= flat_at[0] - began <= LEASE_S + 1.0

    ride(body)


@pytest.mark.parametrize("released", [True, False])
def test_only_a_trainer_that_was_held_is_released_on_the_next_link(
    ride: Ride, released: bool
) -> None:
    async def body(room: Room, trainer: FecTrainer, pages: list[bytes]) -> None:
        await room.ask(power(150))
        if released:
            await room.ask(Release(peripheral="trainer"))
        trainer.bike.target_w = 300  # As if it had not come through, or of another program.
        pages.clear()
        await room.link_again(STREAM)
        assert (trainer.target_w is None) == (not released)
        assert [page.hex() for page in pages if page[0] != 0x46] == ([] if released else [FLAT])

    ride(body)


def test_a_kickr_that_does_not_answer_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    async def whole() -> None:
        brake, written = KickrBrake(), list[str]()
        brake.answers = False
        brake.record = lambda request: written.append(request.hex())
        async with room(list(kickr_parts(brake, random.Random(1), 0.5)), "2a63") as made:
            await made.ask(power(200))
            assert brake.target_w == 200
            await made.ask(Stop(peripheral="trainer"))
            assert (brake.target_w, brake.level) == (None, 0)
            # Unlocked again, because a stop ends its control.
            await made.ask(power(210))
        assert written == ["20eefc", "42c800", "4100", "4100", "20eefc", "42d200", "4100"]
        assert made.changes[-1] == ("released", "hang_up")

    virtual_time.run(whole, monkeypatch)
