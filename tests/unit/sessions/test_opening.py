"""What is asked of a device once per link, over real GATT."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic as GattCharacteristic
from bumble.gatt import CharacteristicValue, Service
from structlog.testing import capture_logs

from healthd.central.faults import BondLost, LinkFault, LinkLost, refused
from healthd.central.link import Link
from healthd.errors import DecodeError
from healthd.profiles import registry
from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import (
    Characteristic,
    Exchange,
    ExchangeRefused,
    Opening,
    Options,
    Profile,
    Turn,
    Use,
)
from healthd.profiles.registry import Registry
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.opening import Openings
from healthd.sessions.session import State
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import BOUND_S, Stage, address, by_address, cancel

ENTRY = by_address(1, "sensor")
RECORD, CONTROL = 0xFFF1, 0xFFF2

Answer = Callable[[bytes], bytes | None]


class Asked:
    """Asks for what the settings name, one request each, keeps the answers, and says goodbye."""

    def __init__(
        self, abort: bytes = b"", *, is_answered: bool = True, excused: int | None = None
    ) -> None:
        self.abort, self.is_answered, self.excused = abort, is_answered, excused
        self.answers: list[bytes] = []
        self.closed = asyncio.Event()

    def exchange(self, options: Options) -> Exchange:
        try:
            for kind in options.pmd:
                answer = yield kind.encode()
                self.answers.append(answer)
                if answer == b"?":
                    raise DecodeError("offset 0: expected an answer")
                if answer == b"no":
                    raise ExchangeRefused("not for you")
        finally:
            self.closed.set()

    def farewell(self, options: Options) -> list[bytes]:
        return [f"bye {kind}".encode() for kind in options.pmd]


@dataclass
class Sensor:
    """Sends a record when it wants to, and answers as it is told.

    Attributes:
        answer: to a request; None is silence.
        refuse: the ATT error of every write, if any.
        written: what arrived, once each.
        subscribed: whether anybody listens to its control point.
    """

    answer: Answer = lambda request: b"re:" + request
    refuse: int | None = None
    written: list[bytes] = field(default_factory=list[bytes])
    records: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue[bytes])
    answers: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue[bytes])
    subscribed: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def part(self, *, has_control: bool = True) -> Part:
        properties = GattCharacteristic.Properties
        record: GattCharacteristic[bytes] = GattCharacteristic(
            UUID.from_16_bits(RECORD), properties.NOTIFY, GattCharacteristic.Permissions(0), b""
        )
        control: GattCharacteristic[bytes] = GattCharacteristic(
            UUID.from_16_bits(CONTROL),
            properties.WRITE | properties.INDICATE,
            GattCharacteristic.WRITEABLE,
            CharacteristicValue[bytes](write=self._write),
        )
        service = Service(UUID.from_16_bits(0xFFF0), [record, control][: 1 + has_control])
        return Part(service, {record: self._records, control: self._answers}, advertised=True)

    def _write(self, _: Connection | None, request: bytes) -> None:
        self.written.append(request)
        self.asked.set()
        if self.refuse is not None:
            raise ATT_Error(self.refuse)
        if (answer := self.answer(request)) is not None:
            self.answers.put_nowait(answer)

    async def _records(self) -> AsyncGenerator[bytes, None]:
        while True:
            yield await self.records.get()

    async def _answers(self) -> AsyncGenerator[bytes, None]:
        self.subscribed = True
        while True:
            yield await self.answers.get()


def known(asked: Asked) -> Registry:
    """A profile that opens; and another one with the same control point, which does not."""
    control = Characteristic("fff2", Battery, decode_level, Use.CONTROL)
    record = Characteristic("fff1", Battery, decode_level, Use.STREAM)
    opens = Profile(
        "opens",
        "fff0",
        (record, control),
        opening=Opening(
            "fff2",
            asked.exchange,
            asked.farewell,
            asked.abort,
            answers=asked.is_answered,
            excused=asked.excused,
        ),
    )
    return Registry([opens, *registry.load().profiles.values()])


@asynccontextmanager
async def streaming(
    stage: Stage, sensor: Sensor, asked: Asked, *pmd: str, has_control: bool = True
) -> AsyncGenerator["tuple[VirtualPeripheral, asyncio.Task[None]]"]:
    """A session that streams from the sensor."""
    stage.registry = known(asked)
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        parts = [sensor.part(has_control=has_control)]
        peripheral = await stage.add(VirtualPeripheral("Sensor", address(1), parts))
        session = stage.session(radio, ENTRY, options=Options(pmd=pmd))
        running = asyncio.create_task(session.run(lambda: None))
        await stage.watcher.streaming()
        yield peripheral, running
        if not running.done():
            await cancel(running)
            assert running.cancelled()


def control_messages(stage: Stage) -> list[bytes]:
    return [value for _, uuid, value in stage.watcher.values if uuid == "fff2"]


async def goes_on(stage: Stage, sensor: Sensor) -> None:
    """Records still arrive."""
    sensor.records.put_nowait(b"\x07")
    await stage.watcher.until(lambda: stage.watcher.count("fff1"))


async def test_each_answer_leads_to_the_next_request(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one", "two", "three"):
        await asked.closed.wait()
        assert sensor.written == [b"one", b"two", b"three"]
        assert asked.answers == [b"re:one", b"re:two", b"re:three"]
        # Observers see both sides, in the order in which they were said.
        assert control_messages(stage) == [
            *(b"one", b"re:one", b"two", b"re:two", b"three", b"re:three")
        ]
        await goes_on(stage, sensor)


async def test_what_asks_nothing_leaves_the_device_alone(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked):
        await asked.closed.wait()
        await goes_on(stage, sensor)
    assert not sensor.subscribed
    assert sensor.written == []


async def test_a_device_without_the_control_point_just_streams(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one", has_control=False):
        await goes_on(stage, sensor)
    assert not asked.closed.is_set()


async def test_a_refused_write_is_logged_and_ends_nothing_else(stage: Stage) -> None:
    sensor, asked = Sensor(refuse=0x80), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await goes_on(stage, sensor)
            assert sensor.written == [b"one"]
    (line,) = [line for line in logs if line["event"] == "profile setup failed"]
    assert (line["log_level"], line["profile"], line["reason"]) == (
        "warning",
        "opens",
        "gatt_error",
    )


async def test_an_error_that_means_it_was_taken_is_none(stage: Stage) -> None:
    sensor, asked = Sensor(refuse=0x80), Asked(is_answered=False, excused=0x80)
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            assert sensor.written == [b"one", b"two"]
    assert not [line for line in logs if line["event"] == "profile setup failed"]


async def test_a_silent_control_point_is_logged_and_ends_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.opening._ANSWER_S", 0.2)
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await goes_on(stage, sensor)
            assert sensor.written == [b"one"]
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "silent"
    ]


async def test_patience_begins_anew_with_every_record(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to "send everything" comes behind everything."""
    monkeypatch.setattr("healthd.sessions.opening._ANSWER_S", 2.0)
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "all"):
        loop = asyncio.get_running_loop()
        await sensor.asked.wait()
        began = loop.time()
        while loop.time() - began < 3.0:
            sensor.records.put_nowait(b"\x07")
            await stage.watcher.more("fff1", 1)
        assert not asked.closed.is_set()
        sensor.answers.put_nowait(b"done")
        await asked.closed.wait()
    assert asked.answers == [b"done"]


async def test_an_answer_that_is_not_understood_ends_the_conversation(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: b"?"), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await goes_on(stage, sensor)
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "not_understood"
    ]


async def test_an_answer_that_is_a_refusal_ends_the_conversation(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: b"no"), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await goes_on(stage, sensor)
    [line] = [line for line in logs if line["event"] == "profile setup failed"]
    assert (line["reason"], line["error"]) == ("refused", "not for you")
    assert b"two" not in sensor.written


async def test_where_nothing_is_answered_nothing_is_waited_for(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked(is_answered=False)
    async with streaming(stage, sensor, asked, "one", "two"):
        await asked.closed.wait()
        await goes_on(stage, sensor)
    assert sensor.written == [b"one", b"two", b"bye one", b"bye two"]
    assert asked.answers == [b"", b""]
    assert not sensor.subscribed


async def test_what_is_under_way_is_aborted_before_leave_is_taken(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await sensor.asked.wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"stop", b"bye one"]


async def test_what_was_answered_is_not_aborted(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_one_that_does_not_answer_is_told_to_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.opening._ANSWER_S", 0.2)
    sensor, asked = Sensor(answer=lambda _: None), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one"):
        await asked.closed.wait()
        await goes_on(stage, sensor)
        assert sensor.written == [b"one", b"stop"]


class Tape:
    """A link to control points that answer nothing."""

    def __init__(self, *controls: str) -> None:
        self.controls = controls
        self.written: list[tuple[str, bytes]] = []

    def can_write(self, uuid: str) -> bool:
        return uuid in self.controls

    async def write(self, uuid: str, value: bytes) -> None:
        self.written.append((uuid, value))


def saying(uuid: str, turn: Turn) -> Profile:
    """A profile that opens with its control point's own name."""

    def exchange(_: Options) -> Exchange:
        yield uuid.encode()

    control = Characteristic(uuid, Battery, decode_level, Use.CONTROL)
    opening = Opening(uuid, exchange, answers=False, turn=turn)
    return Profile(f"of_{uuid}", uuid, (control,), opening=opening)


def openings_on(
    link: object,
    profiles: Registry,
    options: Options,
    told: Callable[[bytes], None] = lambda _: None,
) -> Openings:
    """Openings over a link that stands in for one."""
    points = ControlPoints(cast(Link, link), profiles, lambda _, value: told(value))
    return Openings(points, "sensor", options, {}, bond_lost)


async def say(tape: Tape, *profiles: Profile) -> Openings:
    openings = openings_on(tape, Registry(profiles), Options())
    await openings.run(profiles)
    return openings


async def test_clocks_are_set_before_users_are_named_before_data_is_asked_for() -> None:
    tape = Tape("fff1", "fff2", "fff3", "fff4")
    data, user = saying("fff1", Turn.DATA), saying("fff2", Turn.USER)
    clock, more = saying("fff4", Turn.CLOCK), saying("fff3", Turn.DATA)
    openings = await say(tape, data, user, more, clock)
    assert [uuid for uuid, _ in tape.written] == ["fff4", "fff2", "fff1", "fff3"]
    assert openings.asked
    assert not openings.unfinished


@pytest.mark.parametrize("turn", [Turn.CLOCK, Turn.USER])
async def test_only_who_was_asked_for_data_has_answered(turn: Turn) -> None:
    tape = Tape("fff1")
    openings = await say(tape, saying("fff1", turn))
    assert tape.written == [("fff1", b"fff1")]
    assert not openings.asked


async def test_what_cannot_be_written_is_left_alone_and_is_no_fault() -> None:
    tape = Tape()
    with capture_logs() as logs:
        openings = await say(tape, saying("fff1", Turn.CLOCK), saying("fff2", Turn.DATA))
    assert (tape.written, logs) == ([], [])
    assert not openings.asked


class Wire:
    """A link to a control point that talks as soon as it is subscribed, and answers at once."""

    def can_write(self, uuid: str) -> bool:
        return uuid == "fff2"

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        assert uuid == "fff2"
        self.indicate = on_value
        on_value(b"stray")

    async def write(self, uuid: str, value: bytes) -> None:
        assert uuid == "fff2"
        self.indicate(b"re:" + value)


class Locked(Wire):
    """A link to a control point that answers only those who are paired."""

    found = None

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        raise refused("org.bluez.Error.NotPermitted", "Not paired")


async def bond_lost(_: object, fault: LinkFault) -> LinkFault:
    return BondLost("sensor", fault)


async def test_a_control_point_that_wants_a_bond_is_explained() -> None:
    profiles = known(Asked())
    openings = openings_on(Locked(), profiles, Options(pmd=("one",)))
    with capture_logs() as logs:
        await openings.run([profiles.profiles["opens"]])
    [line] = [line for line in logs if line["event"] == "profile setup failed"]
    assert line["reason"] == "bond_lost"
    assert "healthd pair sensor --again" in line["error"]
    assert isinstance(openings.refusal, BondLost)


async def test_what_was_said_before_is_no_answer() -> None:
    asked, told = Asked(), list[bytes]()
    profiles = known(asked)
    openings = openings_on(Wire(), profiles, Options(pmd=("one",)), told.append)
    async with asyncio.timeout(BOUND_S):
        await openings.run([profiles.profiles["opens"]])
    assert asked.answers == [b"re:one"]
    assert told == [b"stray", b"one", b"re:one"]


async def test_a_link_that_ends_meanwhile_ends_the_session(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await sensor.asked.wait()
        await peripheral.drop()
        with pytest.raises(LinkLost):
            await running
        assert asked.closed.is_set()
    assert stage.watcher.states[-1] == ("sensor", State.WAITING, "link_lost")


async def test_a_stop_meanwhile_closes_the_conversation(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "one") as (_, running):
        await sensor.asked.wait()
        await cancel(running)
        assert running.cancelled()
        assert asked.closed.is_set()


@pytest.mark.parametrize("answered", [True, False], ids=["in the end", "while it is asked"])
async def test_a_stop_takes_leave_of_what_was_asked(stage: Stage, answered: bool) -> None:
    sensor, asked = Sensor(answer=lambda request: request if answered else None), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await (asked.closed if answered else sensor.asked).wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_no_leave_is_taken_of_what_was_not_asked(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked) as (peripheral, running):
        await goes_on(stage, sensor)
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == []


async def test_a_lost_link_leaves_nobody_to_take_leave_of(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        await peripheral.drop()
        with pytest.raises(LinkLost):
            await running
    assert sensor.written == [b"one"]


async def test_a_refused_leave_does_not_keep_the_session_from_ending(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        sensor.refuse = 0x80
        await cancel(running)
        assert running.cancelled()
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_a_bug_in_an_exchange_is_named_so(stage: Stage) -> None:
    def exchange(options: Options) -> Exchange:
        yield b"one"
        raise KeyError(options)

    asked, sensor = Asked(), Sensor()
    asked.exchange = exchange
    async with streaming(stage, sensor, asked) as (peripheral, running):
        with pytest.raises(KeyError):
            await running
        await peripheral.unlinked.wait()
    assert stage.watcher.states[-1] == ("sensor", State.WAITING, "bug")
