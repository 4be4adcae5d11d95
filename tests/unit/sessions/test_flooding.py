"""A peripheral that sends faster than any sensor: its links are ended, with growing pauses."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from healthd.central import door
from healthd.central.door import SHARE
from healthd.central.faults import Flooding
from healthd.central.radio import Radio
from healthd.log import get_logger
from healthd.sessions import session as sessions
from healthd.simulator.attributes import notifying
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.supervision.supervisor import Supervisor
from tests.field.rig import part
from tests.support import virtual_time
from tests.support.stage import BOUND_S, Stage, address, by_address

ENTRY = by_address(1, "strap")


async def flood() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"\x00\x48"
        await asyncio.sleep(0)


def flooding() -> VirtualPeripheral:
    return VirtualPeripheral("Strap", address(1), [part(0x180D, {notifying(0x2A37): flood})])


async def run_once(stage: Stage, radio: Radio, session: sessions.Session) -> int:
    """Run a session until its link ends with a flood; return how often it was healthy."""
    healthy: list[None] = []
    with suppress(Flooding):
        async with asyncio.timeout(BOUND_S):
            await session.run(lambda: healthy.append(None))
    return len(healthy)


async def test_after_a_flood_a_link_is_healthy_only_once_it_has_not_flooded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the supervisor's pauses grow, and the log has one line."""
    monkeypatch.setattr(door, "_ENDS_AT", 50)
    strap = flooding()
    await stage.air.add(strap)
    await strap.appear()
    async with stage.radio(ENTRY) as radio:
        session = stage.session(radio, ENTRY)
        assert await run_once(stage, radio, session) == 1
        assert await run_once(stage, radio, session) == 0
        # What is admitted became values, and the rest did not.
        per_link = SHARE.notifications / 4 + BOUND_S * SHARE.notifications_per_s
        assert 500 <= len(stage.watcher.values) <= 2 * per_link
        assert {uuid for _, uuid in stage.watcher.too_fast} == {"2a37"}
        assert len(stage.watcher.too_fast) >= 100
        monkeypatch.setattr(door, "SHARE", door.Share(1e9, 1e9, 1e12, 1e12))
        monkeypatch.setattr(sessions, "_PROVES_S", 0.1)
        healthy = asyncio.Event()
        running = asyncio.create_task(session.run(healthy.set))
        async with asyncio.timeout(BOUND_S):
            await healthy.wait()
        running.cancel()
        await asyncio.wait([running])


def test_pauses_after_floods_grow_to_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        begins: list[float] = []

        async def session(_mark_healthy: object) -> None:
            begins.append(loop.time())
            if len(begins) == 20:
                return
            raise Flooding

        class Longest(random.Random):
            def uniform(self, a: float, b: float) -> float:
                return b

        with capture_logs() as log:
            await Supervisor(Longest()).keep(session, get_logger(peripheral="strap"))
        pauses = [after - before for before, after in itertools.pairwise(begins)]
        assert pauses[:5] == pytest.approx([30, 60, 120, 240, 480])
        assert pauses[5:] == pytest.approx([900] * 14)
        warnings = [line for line in log if line["log_level"] == "warning"]
        assert [line["reason"] for line in warnings] == ["flooding"]

    virtual_time.run(body, monkeypatch)
