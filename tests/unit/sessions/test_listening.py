"""A peripheral that only advertises, over days of virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from healthd.central.adapters import Adapters
from healthd.central.faults import AdapterGone
from healthd.central.match import By, Match
from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.listening import Listening
from healthd.sessions.session import State
from tests.support import virtual_time
from tests.support.ether import Ether
from tests.support.stage import Watcher

MINE, OTHER = "C0:00:00:00:00:01", "C0:00:00:00:00:02"
PRIVATE = ("41:00:00:00:00:01", "42:00:00:00:00:01")
SCALE_KEY, BIKE_KEY, STEPS_KEY = "service_data_181d", "manufacturer_data_0102", "service_data_fee0"


def broadcast(name: str, key: str, **more: Any) -> Broadcast:
    return Broadcast(
        uuid=name,
        model=Battery,
        decode=lambda data: Battery(level_pct=data[0]),
        use=Use.STREAM,
        keys=(key,),
        fits=lambda data: data[:1] != b"\xff",
        **more,
    )


SCALE = broadcast("scale", SCALE_KEY)
AGAIN = broadcast("again", SCALE_KEY, again_s=60.0)
BIKE = broadcast("bike", BIKE_KEY, silence_s=10.0)
STEPS = broadcast("steps", STEPS_KEY)
REGISTRY = Registry(
    [Profile("scale", broadcasts=(SCALE,)), Profile("band", broadcasts=(BIKE, STEPS))]
)
AGAIN_REGISTRY = Registry([Profile("scale", broadcasts=(AGAIN,))])
COUNTED_KEYS = tuple(f"manufacturer_data_{count:02x}c0" for count in range(256))
COUNTING = replace(AGAIN, uuid="counting", keys=COUNTED_KEYS)
COUNTING_REGISTRY = Registry([Profile("scale", broadcasts=(COUNTING,))])

Body = Callable[["Scene"], Coroutine[Any, Any, None]]
Play = Callable[..., None]


class Scene:
    """A radio, and one peripheral that is listened to."""

    def __init__(self, match: Match, registry: Registry, silence_s: float | None) -> None:
        self.ether, self.watcher = Ether(), Watcher()
        self.adapters = Adapters(followed=True)
        self.adapters.update("hci0", True)
        self.radio = Radio(self.ether.backends, Slots(1), self.adapters)
        self.radio.add(match)
        self.listening = Listening(match, self.radio, registry, self.watcher, silence_s)
        self.healthy = 0
        self.running: asyncio.Task[None]

    def mark_healthy(self) -> None:
        self.healthy += 1

    async def start(self) -> None:
        self.running = asyncio.create_task(self.listening.run(self.mark_healthy))
        await asyncio.sleep(0.1)

    async def play(self, body: Body) -> None:
        scanning = asyncio.create_task(self.radio.run(lambda: None))
        await self.start()
        try:
            await body(self)
        finally:
            for task in (self.running, scanning):
                task.cancel()
            await asyncio.wait({self.running, scanning})

    def say(self, key: str, value: bytes, address: str = MINE, **more: Any) -> None:
        assert self.ether.say(address, {key: value}, **more), "no scan"

    @property
    def states(self) -> list[tuple[State, str | None]]:
        return [(state, reason) for _, state, reason in self.watcher.states]

    @property
    def values(self) -> list[bytes]:
        return [value for _, _, value in self.watcher.values]


def by(kind: By = By.ADDRESS, wanted: str = MINE, *broadcasts: Broadcast) -> Match:
    return Match("scale", kind, wanted, broadcasts=broadcasts or (SCALE, BIKE, STEPS))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    def play_it(
        body: Body,
        match: Match | None = None,
        registry: Registry = REGISTRY,
        silence_s: float | None = None,
    ) -> None:
        async def made() -> None:
            await Scene(match or by(), registry, silence_s).play(body)

        virtual_time.run(made, monkeypatch)

    return play_it


def test_each_value_is_passed_on_once_and_at_once(play: Play) -> None:
    async def body(scene: Scene) -> None:
        assert scene.states == [(State.SEARCHING, None)]
        for value in (b"\x01", b"\x01", b"\x02", b"\x02", b"\x01"):
            scene.say(SCALE_KEY, value)
        assert scene.values == [b"\x01", b"\x02", b"\x01"]
        assert scene.states[1:] == [(State.STREAMING, None)]
        assert scene.watcher.heard == [("scale", None, ["scale"], MINE)]
        assert scene.healthy == 1
        # A scale keeps advertising its last result, and after days that is no other one.
        await asyncio.sleep(3 * 86400)
        scene.say(SCALE_KEY, b"\x01")
        assert len(scene.values) == 3
        assert scene.states[1:] == [(State.STREAMING, None)]

    play(body)


def test_what_does_not_fit_or_is_not_ours_is_ignored(play: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.say(SCALE_KEY, b"\xff\x01")
        scene.say(SCALE_KEY, b"\x01", OTHER)
        scene.say("service_data_180d", b"\x01")
        assert scene.states == [(State.SEARCHING, None)]
        assert not scene.values

    play(body)


def test_two_kinds_of_data_alternate_in_one_device(play: Play) -> None:
    async def body(scene: Scene) -> None:
        for value in (b"\x01", b"\x01", b"\x02"):
            scene.say(BIKE_KEY, value)
            scene.say(STEPS_KEY, b"\x09")
        # The stack may report the older kind once more, next to the newer one.
        assert scene.ether.say(MINE, {BIKE_KEY: b"\x03", STEPS_KEY: b"\x09"})
        assert [uuid for _, uuid, _ in scene.watcher.values] == ["bike", "steps", "bike", "bike"]
        assert scene.watcher.heard == [("scale", None, ["band"], MINE)]

    play(body)


def test_equal_bytes_are_a_new_measurement_after_the_device_was_away(play: Play) -> None:
    async def body(scene: Scene) -> None:
        for pause_s in (0.0, 59.0, 59.0, 61.0, 1.0):
            await asyncio.sleep(pause_s)
            scene.say(SCALE_KEY, b"\x01")
        assert len(scene.values) == 2

    play(body, by(By.ADDRESS, MINE, AGAIN), AGAIN_REGISTRY)


def test_equal_bytes_are_not_news_under_a_company_id_that_counts(play: Play) -> None:
    """Bytes that came under the same id before are news, if others came in between."""

    async def body(scene: Scene) -> None:
        for value, keys in ((b"\x01", COUNTED_KEYS[:3]), (b"\x02", COUNTED_KEYS[3:5])):
            for key in keys:
                scene.say(key, value)
                await asyncio.sleep(1)
        scene.say(COUNTED_KEYS[0], b"\x01")
        assert scene.values == [b"\x01", b"\x02", b"\x01"]

    play(body, by(By.ADDRESS, MINE, COUNTING), COUNTING_REGISTRY)


@pytest.mark.parametrize(("silence_s", "limit_s"), [(None, 10.0), (120.0, 120.0)])
def test_a_continuous_broadcaster_falls_silent_and_comes_back_at_once(
    play: Play, silence_s: float | None, limit_s: float
) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(30):
            scene.say(BIKE_KEY, b"\x01")
            await asyncio.sleep(limit_s - 0.5)
        assert scene.states[-1] == (State.STREAMING, None)
        await asyncio.sleep(0.6)
        assert scene.states[-1] == (State.SEARCHING, "silent")
        assert scene.values == [b"\x01"]
        await asyncio.sleep(3600)
        scene.say(BIKE_KEY, b"\x01")
        assert scene.states[-1] == (State.STREAMING, None)
        # A gap ends with a sample, and a new reader begins.
        assert scene.values == [b"\x01", b"\x01"]
        assert len(scene.watcher.heard) == 2
        assert not scene.running.done()

    play(body, silence_s=silence_s)


def test_while_the_scanner_does_not_run_no_device_is_silent(play: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.say(BIKE_KEY, b"\x01")
        await asyncio.sleep(4)
        async with scene.radio._connect_lock:  # pyright: ignore[reportPrivateUsage]
            scene.radio._connecting = True  # pyright: ignore[reportPrivateUsage]
            scene.radio._update()  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(200)
            assert scene.states[-1] == (State.STREAMING, None)
            scene.radio._connecting = False  # pyright: ignore[reportPrivateUsage]
            scene.radio._update()  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(5)
        assert scene.states[-1] == (State.STREAMING, None)
        await asyncio.sleep(2.5)
        assert scene.states[-1] == (State.SEARCHING, "silent")

    play(body)


def test_a_scanner_that_does_not_run_for_long_leaves_no_one_online(play: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.say(BIKE_KEY, b"\x01")
        scene.radio._connecting = True  # pyright: ignore[reportPrivateUsage]
        scene.radio._update()  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(305)
        assert scene.states[-1] == (State.STREAMING, None)
        await asyncio.sleep(10)
        assert scene.states[-1] == (State.SEARCHING, "silent")

    play(body)


@pytest.mark.parametrize("key", [BIKE_KEY, SCALE_KEY])
def test_an_adapter_that_goes_away_takes_the_peripheral_along(play: Play, key: str) -> None:
    async def body(scene: Scene) -> None:
        scene.say(key, b"\x01")
        scene.adapters.update("hci1", True)
        scene.adapters.update("hci1", False)
        await asyncio.sleep(0.1)
        assert not scene.running.done()  # no scan uses that one
        scene.adapters.update("hci0", False)
        with pytest.raises(AdapterGone):
            await scene.running
        assert scene.states[-1] == (State.WAITING, "adapter_off")
        await scene.start()
        assert scene.states[-1] == (State.SEARCHING, None)
        await asyncio.sleep(60)
        scene.adapters.update("hci0", True)
        await asyncio.sleep(0.1)
        scene.say(key, b"\x01")
        assert scene.states[-1] == (State.STREAMING, None)
        # The same weighing is not a new one because the adapter was off.
        assert len(scene.values) == (2 if key == BIKE_KEY else 1)

    play(body)


def test_a_search_survives_the_loss_of_the_adapter(play: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.adapters.update("hci0", False)
        await asyncio.sleep(60)
        assert not scene.running.done()
        assert scene.states == [(State.SEARCHING, None)]

    play(body)


def test_a_name_that_arrives_later_and_a_changed_address_are_reported(play: Play) -> None:
    async def body(scene: Scene) -> None:
        first, second = PRIVATE
        scene.say(BIKE_KEY, b"\x01", first, private=True)
        scene.say(BIKE_KEY, b"\x02", first, name="Bike", private=True)
        scene.say(BIKE_KEY, b"\x03", first, private=True)
        scene.say(BIKE_KEY, b"\x03", second, private=True)
        assert scene.watcher.heard == [
            ("scale", None, ["band"], first),
            ("scale", "Bike", ["band"], first),
            ("scale", "Bike", ["band"], second),
        ]
        assert len(scene.values) == 3
        assert [state for state, _ in scene.states] == [State.SEARCHING, State.STREAMING]

    play(body, by(By.SERVICE, ""))


def test_of_two_devices_that_match_nothing_is_published_until_the_settings_change(
    play: Play,
) -> None:
    async def body(scene: Scene) -> None:
        with capture_logs() as logs:
            scene.say(SCALE_KEY, b"\x01", MINE, name="SCALE")
            scene.say(SCALE_KEY, b"\x02", OTHER, name="SCALE")
            scene.say(SCALE_KEY, b"\x03", MINE, name="SCALE")
            assert scene.values == [b"\x01"]
            assert scene.states[-1] == (State.WAITING, "ambiguous")
            await asyncio.sleep(86400)
            assert scene.ether.scanner is None, "nothing wants to be heard"
            assert not scene.running.done()
        (warning,) = (line for line in logs if line["log_level"] == "warning")
        assert warning["addresses"] == [MINE, OTHER]
        assert "address" in warning["hint"]
        # Nor does a restart of the session forget it.
        scene.running.cancel()
        await asyncio.wait({scene.running})
        assert scene.states[-1] == (State.DISABLED, None)
        await scene.start()
        assert scene.states[-1] == (State.WAITING, "ambiguous")
        assert not scene.ether.say(MINE, {SCALE_KEY: b"\x03"}, "SCALE")

    play(body, by(By.NAME, "SCALE*"))


def test_rivals_that_are_not_listened_to_are_ignored(play: Play) -> None:
    """Two devices that can be linked, while it is not decided what to do with ours."""

    async def body(scene: Scene) -> None:
        scene.listening.accepts = lambda _: False
        scene.say(SCALE_KEY, b"\x01", MINE, name="SCALE")
        scene.say(SCALE_KEY, b"\x02", OTHER, name="SCALE")
        assert scene.states == [(State.SEARCHING, None)]

    play(body, by(By.NAME, "SCALE*"))


def test_a_flood_with_our_address_gets_a_share(play: Play) -> None:
    async def body(scene: Scene) -> None:
        for number in range(20_000):
            scene.say(SCALE_KEY, b"\x01" + number.to_bytes(3))
        assert len(scene.values) < 1000
        assert len(scene.watcher.too_fast) == 20_000 - len(scene.values)
        assert {uuid for _, uuid in scene.watcher.too_fast} == {"scale"}

    play(body)
