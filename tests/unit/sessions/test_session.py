"""The session of one peripheral over real GATT, from searching to the fault that ends it."""

import asyncio
from collections.abc import Callable

import pytest
from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service
from structlog.testing import capture_logs

from healthd.central.adapters import Adapters
from healthd.central.faults import LinkFault, LinkLost, NotTried
from healthd.central.radio import Radio
from healthd.profiles import quirks
from healthd.profiles.heart_rate import decode_heart_rate
from healthd.profiles.quirks import Quirk
from healthd.sessions.faults import (
    CharacteristicMissing,
    NothingToRead,
    NotificationStalled,
    TakesRadioDown,
)
from healthd.sessions.session import NotStreaming, State
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import ReplayedHeart, device_information_part, heart_rate_part
from tests.support.stage import BOUND_S, Stage, address, by_address, by_name, cancel, readable

ENTRY = by_address(1, "strap")

SEARCHING, CONNECTING, PREPARING, STREAMING, WAITING, DISABLED = (
    State.SEARCHING,
    State.CONNECTING,
    State.PREPARING,
    State.STREAMING,
    State.WAITING,
    State.DISABLED,
)
UP = [SEARCHING, CONNECTING, PREPARING, STREAMING]


def start(
    stage: Stage,
    radio: Radio,
    silence_s: float | None = None,
    mark_healthy: Callable[[], None] = lambda: None,
) -> "asyncio.Task[None]":
    return asyncio.create_task(stage.session(radio, ENTRY, silence_s).run(mark_healthy))


def states(stage: Stage) -> list[State]:
    assert {peripheral for peripheral, _, _ in stage.watcher.states} == {"strap"}
    return [state for _, state, _ in stage.watcher.states]


async def test_states_are_in_order_and_values_are_read(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        healthy_in: list[State] = []
        strap = await stage.strap("Polar H10 1")
        running = start(stage, radio, None, lambda: healthy_in.append(states(stage)[-1]))
        await stage.watcher.streaming()
        await stage.watcher.until(lambda: stage.watcher.count("2a37") >= 3)
        assert strap.linked.is_set()
        await cancel(running)
        await strap.unlinked.wait()
        assert running.cancelled()
    assert states(stage) == [*UP, DISABLED]
    assert healthy_in == [STREAMING]
    profiles = ["device_information", "heart_rate", "battery"]
    assert stage.watcher.links == [("strap", "Polar H10 1", profiles)]
    assert ("strap", "2a29", b"healthd") in stage.watcher.values
    assert ("strap", "2a38", b"\x01") in stage.watcher.values
    assert stage.watcher.count("2a19") == 1  # read; notified only when the level falls
    assert stage.watcher.count("2a39") == 0  # a control point


async def test_values_that_decide_about_decoding_are_read_before_the_streams(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Quirk("other", "2a37", decode_heart_rate, "here", model="Virtual*")
    monkeypatch.setattr(quirks, "QUIRKS", (row,))
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        await stage.strap()
        running = start(stage, radio)
        await stage.watcher.until(lambda: stage.watcher.count("2a37"))
        await stage.watcher.streaming()
        await cancel(running)
    read = [uuid for _, uuid, _ in stage.watcher.values]
    assert read[0] == "2a24"
    assert read.count("2a24") == read.count("2a29") == 1


@pytest.mark.parametrize("how", ["drop", "vanish"])
async def test_a_lost_link_ends_the_session(stage: Stage, how: str) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        running = start(stage, radio)
        await stage.watcher.streaming()
        assert not strap.unlinked.is_set()
        await getattr(strap, how)()
        assert strap.unlinked.is_set()
        with pytest.raises(LinkLost):
            await running
    assert states(stage) == [*UP, WAITING]
    assert stage.watcher.states[-1] == ("strap", WAITING, "link_lost")


async def test_every_link_has_its_own_client(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        for times in (1, 2, 3):
            running = start(stage, radio)
            await stage.watcher.streaming(times)
            await stage.watcher.more("2a37", 1)
            await strap.drop()
            with pytest.raises(LinkLost):
                await running
            assert stage.traffic.clients == times
    assert states(stage) == [*UP, WAITING] * 3


class Counting(ReplayedHeart):
    """A heart whose payloads are all different."""

    beats = 0

    def payload(self, elapsed: float) -> bytes:
        self.beats += 1
        return bytes([0, self.beats])


async def test_values_of_every_link_arrive_once_and_in_order(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        heart = heart_rate_part(Counting(), 0.05)
        strap = await stage.add(VirtualPeripheral("Strap", address(1), [heart]))
        for times in (1, 2):
            running = start(stage, radio)
            await stage.watcher.streaming(times)
            await stage.watcher.more("2a37", 3)
            await strap.drop()
            with pytest.raises(LinkLost):
                await running
    values = [value for _, uuid, value in stage.watcher.values if uuid == "2a37"]
    assert len(values) >= 6
    assert values == sorted(set(values))


async def test_a_silent_stream_ends_the_session(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        running = start(stage, radio, silence_s=0.3)
        await stage.watcher.streaming()
        strap.go_silent()
        with pytest.raises(NotificationStalled, match="2a37"):
            await running
        assert stage.traffic.live_links_closed == 1  # the link existed until the session closed it
        await strap.unlinked.wait()
    assert states(stage) == [*UP, WAITING]
    assert stage.watcher.states[-1][2] == "stalled"


async def test_a_stream_that_flows_is_not_stalled(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        await stage.strap()
        running = start(stage, radio, silence_s=3.0)
        await stage.watcher.streaming()
        loop = asyncio.get_running_loop()
        until = loop.time() + 3.5  # past the deadline that counts from the subscription
        await stage.watcher.until(lambda: loop.time() > until)
        assert not running.done()
        await cancel(running)


async def test_a_peripheral_that_appears_late_is_waited_for(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        await stage.strap("Another", 2)
        running = start(stage, radio)
        await stage.traffic.until(lambda: stage.traffic.heard.get("Another", 0) > 3)
        assert states(stage) == [SEARCHING]
        await stage.strap("Strap", 1)
        await stage.watcher.streaming()
        await cancel(running)


@pytest.mark.parametrize("state", UP)
async def test_a_session_cancelled_in_any_state_leaves_nothing_behind(
    stage: Stage, state: State
) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        running = start(stage, radio)
        stage.watcher.when[state] = running.cancel
        with pytest.raises(asyncio.CancelledError):
            await running
        await strap.unlinked.wait()
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        assert states(stage) == [*UP[: UP.index(state) + 1], DISABLED]
        del stage.watcher.when[state]
        again = start(stage, radio)
        await stage.watcher.streaming()
        await cancel(again)
        await strap.unlinked.wait()


async def test_a_session_cancelled_while_connecting_leaves_no_link(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        running = start(stage, radio)
        await strap.linked.wait()
        assert states(stage)[-1] is CONNECTING
        await cancel(running)
        assert running.cancelled()
        await strap.unlinked.wait()
        assert stage.traffic.connecting == 0


async def test_a_value_that_cannot_be_read_does_not_end_the_session(stage: Stage) -> None:
    refused = asyncio.Event()

    def refuse(_: Connection) -> bytes:
        refused.set()
        raise ATT_Error(0x05)

    maker, model = readable(0x2A29, CharacteristicValue(read=refuse)), readable(0x2A24, b"Model")
    locked = Part(Service(UUID.from_16_bits(0x180A), [maker, model]))
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        heart = heart_rate_part(ReplayedHeart(), 0.05)
        await stage.add(VirtualPeripheral("Strap", address(1), [heart, locked]))
        with capture_logs() as log:
            running = start(stage, radio)
            await stage.watcher.streaming()
        await stage.watcher.until(lambda: stage.watcher.count("2a37"))
        assert refused.is_set()
        lines = [line for line in log if line["event"] == "characteristic not readable"]
        assert [(line["log_level"], line["reason"]) for line in lines][:1] == [
            ("warning", "not_paired")
        ], "its owner can fix this"
        assert stage.watcher.count("2a29") == 0
        assert ("strap", "2a24", b"Model") in stage.watcher.values
        assert not running.done()
        await cancel(running)


async def test_a_link_lost_while_preparing_ends_the_session(stage: Stage) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait(_: Connection) -> bytes:
        asked.set()
        await answer.wait()
        return b""

    location = readable(0x2A38, CharacteristicValue(read=wait))
    measurement = Characteristic(
        UUID.from_16_bits(0x2A37),
        Characteristic.Properties.NOTIFY,
        Characteristic.Permissions(0),
        b"",
    )
    service = Service(UUID.from_16_bits(0x180D), [measurement, location])
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.add(VirtualPeripheral("Strap", address(1), [Part(service)]))
        running = start(stage, radio)
        await asked.wait()
        await strap.drop()
        assert strap.unlinked.is_set()
        with pytest.raises(LinkLost):
            await running
        answer.set()
    assert states(stage) == [*UP[:3], WAITING]


@pytest.mark.parametrize("has_heart_rate", [False, True], ids=["no heart rate", "no notifications"])
async def test_nothing_to_read(stage: Stage, has_heart_rate: bool) -> None:
    parts = [device_information_part()]
    if has_heart_rate:
        measurement = readable(0x2A37, b"\x00\x48")
        parts.append(Part(Service(UUID.from_16_bits(0x180D), [measurement])))
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        peripheral = await stage.add(VirtualPeripheral("Strap", address(1), parts))
        running = start(stage, radio)
        await peripheral.linked.wait()
        with pytest.raises(NothingToRead):
            await running
        await peripheral.unlinked.wait()
    assert stage.watcher.states[-1] == ("strap", WAITING, "nothing_to_read")


def _with_streams(*numbers: int) -> VirtualPeripheral:
    notify, nothing = Characteristic.Properties.NOTIFY, Characteristic.Permissions(0)
    streams = [
        Characteristic(UUID.from_16_bits(number), notify, nothing, b"") for number in numbers
    ]
    service = Service(UUID.from_16_bits(0x180D), streams)
    return VirtualPeripheral("Strap", address(1), [Part(service)])


async def test_a_missing_stream_is_a_fault_once_and_then_accepted(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        session = stage.session(radio, ENTRY)

        async def stream(strap: VirtualPeripheral, times: int) -> None:
            running = asyncio.create_task(session.run(lambda: None))
            await stage.watcher.streaming(times)
            await strap.drop()
            with pytest.raises(LinkLost):
                await running

        before = await stage.add(_with_streams(0x2A37, 0x2A63))
        await stream(before, 1)
        await before.power_off()
        strap = await stage.add(_with_streams(0x2A37))
        with pytest.raises(CharacteristicMissing, match="2a63"):
            await session.run(lambda: None)
        await strap.unlinked.wait()
        await stream(strap, 2)
        await stream(strap, 3)


async def test_a_peripheral_that_takes_the_radio_down_gets_long_pauses(stage: Stage) -> None:
    adapters = Adapters()

    async def link_once() -> LinkFault:
        """Make a link, during which BlueZ goes away if the test has set that."""
        task = start_session()
        await asyncio.wait([task])
        fault = task.exception()
        assert isinstance(fault, LinkFault)
        return fault

    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY, adapters=adapters) as radio:
        strap = await stage.strap()
        session = stage.session(radio, ENTRY)

        def start_session() -> "asyncio.Task[None]":
            return asyncio.create_task(session.run(lambda: None))

        def crash() -> None:
            adapters.lose_all("bluez_gone", "bluetoothd is gone")
            raise LinkLost

        stage.watcher.when[PREPARING] = crash
        assert not isinstance(await link_once(), TakesRadioDown)  # the first time may be chance
        pauses = [(await link_once()).backoff for _ in range(6)]
        assert [pause.limit(9) for pause in pauses] == [60, 120, 240, 480, 900, 900]
        assert strap.unlinked.is_set()

        # After a success the count starts again.
        del stage.watcher.when[PREPARING]
        streaming = start_session()
        await stage.watcher.streaming()
        await strap.drop()
        await asyncio.wait([streaming])
        assert isinstance(streaming.exception(), LinkLost)
        stage.watcher.when[PREPARING] = crash
        assert not isinstance(await link_once(), TakesRadioDown)

        # The same after a link that failed without taking the radio down.
        def fail() -> None:
            raise LinkLost

        stage.watcher.when[PREPARING] = fail
        assert not isinstance(await link_once(), TakesRadioDown)
        stage.watcher.when[PREPARING] = crash
        assert not isinstance(await link_once(), TakesRadioDown)
        # An attempt that made no link shows nothing.
        stage.watcher.when[CONNECTING] = fail
        assert not isinstance(await link_once(), TakesRadioDown)
        del stage.watcher.when[CONNECTING]
        assert isinstance(await link_once(), TakesRadioDown)


async def test_a_peripheral_that_waits_to_connect_is_not_blamed(stage: Stage) -> None:
    adapters = Adapters(followed=True)

    def crash() -> None:
        adapters.lose_all("bluez_gone", "bluetoothd is gone")

    stage.watcher.when[CONNECTING] = crash
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY, adapters=adapters) as radio:
        await stage.strap()
        session = stage.session(radio, ENTRY)
        for _ in range(3):
            adapters.update("hci0", True)
            with pytest.raises(NotTried):
                await session.run(lambda: None)
    assert adapters.losses == 3


async def test_a_bug_is_reported_as_a_bug_and_closes_the_link(stage: Stage) -> None:
    def fail() -> None:
        raise KeyError("x")

    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        stage.watcher.when[PREPARING] = fail
        running = start(stage, radio)
        with pytest.raises(KeyError):
            await running
        await strap.unlinked.wait()
    assert stage.watcher.states[-1] == ("strap", WAITING, "bug")


async def test_a_stop_works_even_if_the_stack_is_gone(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        await stage.strap()
        running = start(stage, radio)
        await stage.watcher.streaming()
        stage.traffic.disconnect_fault = EOFError()
        await cancel(running)
        assert running.cancelled()  # otherwise its supervisor would restart it
    assert states(stage)[-1] is DISABLED


async def test_two_sessions_do_not_affect_each_other(stage: Stage) -> None:
    entries = [by_name("Polar*", "one"), by_name("Polar*", "two")]
    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        straps = {address(n): await stage.strap(f"Polar {n}", n) for n in (1, 2)}
        running = [
            asyncio.create_task(stage.session(radio, entry).run(lambda: None)) for entry in entries
        ]
        await stage.watcher.streaming(2)
        linked = {peripheral: name for peripheral, name, _ in stage.watcher.links}
        await next(strap for strap in straps.values() if strap.name == linked["one"]).drop()
        with pytest.raises(LinkFault):
            await running[0]
        await stage.watcher.more("2a37", 3)
        assert not running[1].done()
        await cancel(running[1])


async def test_reconnect_makes_a_new_link(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        strap = await stage.strap()
        session = stage.session(radio, ENTRY)
        with pytest.raises(NotStreaming, match="state: disabled"):
            await session.reconnect()
        first = asyncio.create_task(session.run(lambda: None))
        await stage.watcher.streaming()
        asked = asyncio.create_task(session.reconnect())
        with pytest.raises(LinkFault) as caught:
            await first
        assert (caught.value.reason, caught.value.backoff.limit(9)) == ("reconnect_requested", 0)
        await strap.unlinked.wait()
        assert not asked.done(), "it waits for the next link"
        with pytest.raises(NotStreaming, match="state: waiting"):
            await session.reconnect()
        second = asyncio.create_task(session.run(lambda: None))
        await asked
        assert states(stage) == [*UP, WAITING, *UP]
        await cancel(second)
