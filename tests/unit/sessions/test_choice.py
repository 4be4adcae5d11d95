"""A peripheral whose settings do not say whether it is linked, on the virtual radio."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.gateway.entry import match_for
from healthd.profiles import registry
from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.choice import Choice
from healthd.sessions.faults import OffersLink
from healthd.sessions.listening import Listening
from healthd.sessions.session import Session, State
from healthd.settings.model import PeripheralSettings
from healthd.simulator.air import Air
from healthd.simulator.broadcaster import Broadcaster, Frame
from tests.support.ether import Ether
from tests.support.stage import BOUND_S, Stage, address, cancel

ENTRY = PeripheralSettings(id="some", address=address(1))
BY_NAME = PeripheralSettings(id="some", name="S*")
KEY, OTHER_KEY = "manufacturer_data_0102", "service_data_2a1c"
SCALE_KEY = "service_data_181d"


def broadcast(name: str, key: str) -> Broadcast:
    def decode(data: bytes) -> Battery:
        return Battery(level_pct=data[0])

    return Broadcast(uuid=name, model=Battery, decode=decode, use=Use.STREAM, keys=(key,))


BIKE, THERMOMETER = broadcast("bike", KEY), broadcast("thermometer", OTHER_KEY)
_KNOWN = registry.load().profiles
REGISTRY = Registry(
    [
        *(profile for profile in _KNOWN.values() if profile.service not in ("", "1809")),
        Profile("bike", broadcasts=(BIKE,)),
        Profile("scale", broadcasts=(broadcast("scale", SCALE_KEY),)),
        Profile("thermometer", "1809", broadcasts=(THERMOMETER,)),
    ]
)


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    async with Air() as air:
        yield Stage(air, REGISTRY)


def choice(stage: Stage, radio: Radio, entry: PeripheralSettings = ENTRY) -> Choice:
    match = match_for(entry, REGISTRY)
    linked = Session(match, radio, REGISTRY, stage.watcher)
    return Choice(REGISTRY, linked, Listening(match, radio, REGISTRY, stage.watcher))


def start(session: Choice) -> "asyncio.Task[None]":
    return asyncio.create_task(session.run(lambda: None))


async def appear(stage: Stage, key: str = KEY, name: str = "Some", **more: Any) -> None:
    async def frames() -> AsyncGenerator[Frame, None]:
        for number in range(10_000):
            yield {key: bytes([number % 200])}
            await asyncio.sleep(0.02)

    device = Broadcaster(name, address(1), frames, **more)
    await stage.air.add(device)
    await device.appear()


def states(stage: Stage) -> list[State]:
    return [state for _, state, _ in stage.watcher.states]


async def test_a_device_that_only_advertises_is_listened_to(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        session = choice(stage, radio)
        running = start(session)
        await stage.traffic.until(lambda: stage.traffic.scanning)
        await appear(stage)
        await stage.watcher.more("bike", 20)
        assert isinstance(session.current, Listening)
        assert radio.link_count == 0
        await cancel(running)
    assert states(stage) == [State.SEARCHING, State.STREAMING, State.DISABLED]
    # Not one is lost to the decision.
    assert [value for _, _, value in stage.watcher.values[:3]] == [b"\x00", b"\x01", b"\x02"]
    assert stage.traffic.clients == 0


@pytest.mark.parametrize("entry", [ENTRY, BY_NAME], ids=["address", "name"])
async def test_a_device_that_can_be_linked_is_linked_and_stays_so(
    stage: Stage, entry: PeripheralSettings
) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        session = choice(stage, radio, entry)
        strap = await stage.strap()
        for times in (1, 2):
            running = start(session)
            await stage.watcher.streaming(times)
            assert isinstance(session.current, Session)
            await strap.drop()
            await asyncio.wait({running})
            assert running.exception() is not None
        await cancel(start(session))
    up = [State.SEARCHING, State.CONNECTING, State.PREPARING, State.STREAMING, State.WAITING]
    assert states(stage)[:10] == [*up, *up]


async def test_a_service_that_is_streamed_decides_for_the_link(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        session = choice(stage, radio)
        running = start(session)
        await appear(stage, services=("181d",))
        # It cannot be linked, but that is what its services promise.
        await stage.watcher.until(lambda: State.CONNECTING in states(stage))
        assert isinstance(session.current, Session)
        await cancel(running)
    assert not stage.watcher.heard


async def test_the_service_of_its_own_data_does_not_decide_for_a_link(stage: Stage) -> None:
    """BlueZ 5.82 puts the UUIDs of service data among those of services, whatever is listed."""
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        session = choice(stage, radio)
        running = start(session)
        await appear(stage, SCALE_KEY, services=("181d",))
        await stage.watcher.more("scale", 3)
        assert isinstance(session.current, Listening)
        await cancel(running)
    assert stage.traffic.clients == 0


async def test_data_of_devices_that_can_be_linked_decides_for_the_link(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        session = choice(stage, radio)
        running = start(session)
        await appear(stage, OTHER_KEY)
        await stage.watcher.until(lambda: State.CONNECTING in states(stage))
        assert isinstance(session.current, Session)
        await cancel(running)
    assert not stage.watcher.heard


async def test_a_device_that_shows_its_services_later_is_linked_after_all(stage: Stage) -> None:
    ether = Ether()
    async with asyncio.timeout(BOUND_S):
        radio = Radio(ether.backends, Slots(1))
        scanning = asyncio.create_task(radio.run(lambda: None))
        session = choice(stage, radio)
        running = start(session)
        await ether.started.wait()
        assert ether.say(address(1), {KEY: b"\x01"})
        assert isinstance(session.current, Listening)
        ether.say(address(1), {KEY: b"\x02"}, services=("180d",))
        await asyncio.wait({running})
        assert isinstance(running.exception(), OffersLink)
        assert isinstance(session.current, Session)
        await cancel(scanning)
    assert [value for _, _, value in stage.watcher.values] == [b"\x01"]


async def test_without_a_free_slot_a_device_that_only_advertises_is_heard(stage: Stage) -> None:
    entry = PeripheralSettings(id="strap", address=address(2), connect=True)
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY, entry, slots=1) as radio:
        await stage.strap("Strap", 2)
        session = Session(match_for(entry, REGISTRY), radio, REGISTRY, stage.watcher)
        linked = asyncio.create_task(session.run(lambda: None))
        await stage.watcher.streaming()
        running = start(choice(stage, radio))
        await appear(stage)
        await stage.watcher.more("bike", 3)
        await cancel(running)
        await cancel(linked)


async def test_one_that_waits_for_a_slot_does_not_keep_the_scanner_busy(stage: Stage) -> None:
    entry = PeripheralSettings(id="strap", address=address(2), connect=True)
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY, entry, slots=1) as radio:
        await stage.strap("Strap", 2)
        session = Session(match_for(entry, REGISTRY), radio, REGISTRY, stage.watcher)
        linked = asyncio.create_task(session.run(lambda: None))
        await stage.watcher.streaming()
        running = start(choice(stage, radio))
        await stage.strap("Other", 1)
        await stage.traffic.until(lambda: stage.traffic.heard.get("Other"))
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        await cancel(linked)
        await stage.watcher.streaming(2)
        await cancel(running)


async def test_the_choice_to_listen_lasts(stage: Stage) -> None:
    ether = Ether()
    async with asyncio.timeout(BOUND_S):
        radio = Radio(ether.backends, Slots(1))
        scanning = asyncio.create_task(radio.run(lambda: None))
        session = choice(stage, radio)
        for value in (b"\x01", b"\x02"):
            running = start(session)
            await ether.started.wait()
            assert ether.say(address(1), {KEY: value})
            # An advertisement without data does not change it.
            assert ether.say(address(1), {})
            await cancel(running)
            ether.started.clear()
        assert radio.link_count == 0
        await cancel(scanning)
    assert states(stage) == [State.SEARCHING, State.STREAMING, State.DISABLED] * 2
    assert [value for _, _, value in stage.watcher.values] == [b"\x01", b"\x02"]


async def test_a_device_whose_name_shows_that_it_can_be_linked_is_not_listened_to(
    stage: Stage,
) -> None:
    battery = next(iter(_KNOWN["battery"].characteristics))
    ring = Profile(
        "ring", "ee01", (replace(battery, uuid="ee02", use=Use.STREAM),), names=("o2ring*",)
    )
    known = Registry([*REGISTRY.profiles.values(), ring])
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        match = match_for(ENTRY, known)
        linked = Session(match, radio, known, stage.watcher)
        session = Choice(known, linked, Listening(match, radio, known, stage.watcher))
        running = start(session)
        await appear(stage, name="O2Ring 1")
        await stage.watcher.until(lambda: State.CONNECTING in states(stage))
        assert isinstance(session.current, Session)
        await cancel(running)
