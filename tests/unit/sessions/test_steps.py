"""Which step is blamed for the end of a link."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from healthd.central.faults import AdapterGone, LinkFault, LinkLost, classify, refused
from healthd.central.link import Link
from healthd.sessions.faults import Unanswered
from healthd.sessions.memory import DeviceMemory, Step
from healthd.sessions.steps import Steps
from tests.support import virtual_time

SERIAL, MAKER = Step("read", "2a25"), Step("read", "2a29")
HEART_RATE = Step("subscribe", "2a37")
ADAPTER = AdapterGone("adapter_off", "the adapter was switched off")


class Ending:
    """The end of a link."""

    def __init__(self) -> None:
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, fault: LinkFault) -> None:
        self._end.set_exception(fault)

    async def lost(self) -> None:
        await self._end


Work = Callable[[Ending], Awaitable[None]]


def failing(error: LinkFault, end: LinkFault | None = None, after_s: float = 0.0) -> Work:
    """Return work that fails, and a link that ends a moment later."""

    async def work(link: Ending) -> None:
        if end is not None:
            asyncio.get_running_loop().call_later(after_s, link.end, end)
        raise error

    return work


async def never(_link: Ending) -> None:
    await asyncio.Event().wait()


async def well(_link: Ending) -> None:
    pass


def att(code: int) -> LinkFault:
    """Return the fault of an ATT error."""

    class BleakGATTProtocolError(Exception):
        """As bleak's, by name."""

        def __init__(self) -> None:
            super().__init__(f"ATT error {code:#04x}")
            self.code = code

    fault = classify(BleakGATTProtocolError())
    assert fault is not None
    return fault


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    return lambda body: virtual_time.run(body, monkeypatch)


Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.mark.parametrize(
    ("work", "tolerated", "raised", "is_blamed"),
    [
        pytest.param(failing(LinkLost(), LinkLost()), 0, LinkLost, True, id="hangs up"),
        pytest.param(never, 0, Unanswered, True, id="never answers"),
        pytest.param(
            failing(att(0x0E), LinkLost(), 0.1), 0, LinkLost, True, id="cut off, says BlueZ"
        ),
        pytest.param(
            failing(refused("org.bluez.Error.Failed", "Not connected"), LinkLost(), 0.2),
            0,
            LinkLost,
            True,
            id="fails before the end is known",
        ),
        pytest.param(failing(att(0x02)), 0, LinkFault, False, id="refuses"),
        pytest.param(failing(att(0x0E)), 0, LinkFault, False, id="unlikely error, and goes on"),
        pytest.param(failing(LinkLost(), ADAPTER, 0.05), 0, AdapterGone, False, id="adapter off"),
        pytest.param(
            failing(refused("org.bluez.Error.NotPermitted", "Not paired"), LinkLost()),
            0,
            LinkFault,
            False,
            id="requires pairing",
        ),
        pytest.param(failing(LinkLost(), LinkLost()), 1, LinkLost, False, id="once by chance"),
        pytest.param(failing(LinkLost(), LinkLost()), None, LinkLost, False, id="needed"),
        pytest.param(never, None, Unanswered, False, id="needed, never answers"),
    ],
)
def test_a_step_that_costs_the_link_is_left_out(
    play: Play, work: Work, tolerated: int | None, raised: type[LinkFault], is_blamed: bool
) -> None:
    async def body() -> None:
        memory, link = DeviceMemory(), Ending()
        steps = Steps(cast(Link, link), memory, "strap")
        with pytest.raises(raised):
            await steps.run(SERIAL, lambda: work(link), tolerated=tolerated)
        assert memory.leaves_out(SERIAL) is is_blamed
        assert steps.left_out == ({"2a25"} if is_blamed else set())

    play(body)


def test_a_measurement_that_is_refused_twice_is_left_out(play: Play) -> None:
    async def body() -> None:
        memory = DeviceMemory()
        for is_left_out in (False, True):
            link = Ending()
            steps = Steps(cast(Link, link), memory, "strap")
            # 0x03: write not permitted.
            with pytest.raises(LinkFault):
                await steps.run(HEART_RATE, lambda link=link: failing(att(0x03))(link), tolerated=1)
            assert memory.leaves_out(HEART_RATE) is is_left_out

    play(body)


@pytest.mark.parametrize(
    ("pause_s", "fault", "value_after", "is_blamed"),
    [
        pytest.param(0.1, LinkLost(), False, True, id="at once"),
        pytest.param(0.1, LinkLost(), True, False, id="a value came in between"),
        pytest.param(0.1, ADAPTER, False, False, id="the adapter"),
        pytest.param(2.0, LinkLost(), False, False, id="later"),
    ],
)
def test_an_answered_step_is_blamed_if_the_link_ends_at_once(
    play: Play, pause_s: float, fault: LinkFault, value_after: bool, is_blamed: bool
) -> None:
    async def body() -> None:
        memory, link, loop = DeviceMemory(), Ending(), asyncio.get_running_loop()
        steps = Steps(cast(Link, link), memory, "strap")
        for step in (MAKER, SERIAL):
            await steps.run(step, lambda: well(link))
        await asyncio.sleep(pause_s)
        steps.end(fault, loop.time() if value_after else None)
        assert memory.leaves_out(SERIAL) is is_blamed
        assert not memory.leaves_out(MAKER), "only the last one"

    play(body)


def test_after_three_short_links_only_streams_are_still_subscribed(play: Play) -> None:
    async def body() -> None:
        memory = DeviceMemory()
        for _ in range(3):
            link = Ending()
            steps = Steps(cast(Link, link), memory, "strap")
            await steps.run(SERIAL, lambda link=link: well(link))
            await asyncio.sleep(3)
            steps.end(LinkLost(), None)
        steps = Steps(cast(Link, Ending()), memory, "strap")
        assert steps.leaves_out(SERIAL) and steps.leaves_out(MAKER)
        assert not steps.leaves_out(Step("subscribe", "2ada"), is_data=True)
        assert steps.left_out == {"2a25", "2a29"}

    play(body)
