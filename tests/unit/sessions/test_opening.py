"""The opening exchanges of a link, over real GATT."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
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
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Exchange, ExchangeRefused, Opening, Turn
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry, openings_anywhere
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
    """An opening with one request for each name in the settings, which records the answers."""

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

    def closing(self, options: Options) -> list[bytes]:
        return [f"bye {kind}".encode() for kind in options.pmd]


@dataclass
class Sensor:
    """A sensor whose records and answers are set by the test.

    Attributes:
        answer: returns the answer to a request; None for no answer.
        refuse: the ATT error of every write, if any.
        written: the requests that arrived.
        subscribed: whether its control point is subscribed.
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
    """Make a registry with a profile that has an opening, in addition to the usual profiles."""
    control = Characteristic("fff2", Battery, decode_level, Use.CONTROL)
    record = Characteristic("fff1", Battery, decode_level, Use.STREAM)
    opens = Profile(
        "opens",
        "fff0",
        (record, control),
        opening=Opening(
            "fff2",
            asked.exchange,
            asked.closing,
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
    """Run a session that streams from the sensor."""
    stage.registry = known(asked)
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        parts = [sensor.part(has_control=has_control)]
        peripheral = await stage.add(VirtualPeripheral("Sensor", address(1), parts))
        session = stage.session(radio, ENTRY, options=Options(pmd=pmd))
        running = asyncio.create_task(session.run(lambda: None), name="session")
        await stage.watcher.streaming()
        yield peripheral, running
        if not running.done():
            await cancel(running)
            assert running.cancelled()


def control_messages(stage: Stage) -> list[bytes]:
    return [value for _, uuid, value in stage.watcher.values if uuid == "fff2"]


async def still_streams(stage: Stage, sensor: Sensor) -> None:
    """Check that records still arrive."""
    sensor.records.put_nowait(b"\x07")
    await stage.watcher.until(lambda: stage.watcher.count("fff1"))


async def test_each_answer_leads_to_the_next_request(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one", "two", "three"):
        await asked.closed.wait()
        assert sensor.written == [b"one", b"two", b"three"]
        assert asked.answers == [b"re:one", b"re:two", b"re:three"]
        # Observers see both sides, in order.
        assert control_messages(stage) == [
            *(b"one", b"re:one", b"two", b"re:two", b"three", b"re:three")
        ]
        await still_streams(stage, sensor)


async def test_without_requests_nothing_is_written_or_subscribed(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked):
        await asked.closed.wait()
        await still_streams(stage, sensor)
    assert not sensor.subscribed
    assert sensor.written == []


async def test_a_device_without_the_control_point_still_streams(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one", has_control=False):
        await still_streams(stage, sensor)
    assert not asked.closed.is_set()


async def test_a_refused_write_is_logged_and_streams_continue(stage: Stage) -> None:
    sensor, asked = Sensor(refuse=0x80), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await still_streams(stage, sensor)
            assert sensor.written == [b"one"]
    (line,) = [line for line in logs if line["event"] == "profile setup failed"]
    assert (line["log_level"], line["profile"], line["reason"]) == (
        "warning",
        "opens",
        "gatt_error",
    )


async def test_an_excused_error_is_ignored(stage: Stage) -> None:
    sensor, asked = Sensor(refuse=0x80), Asked(is_answered=False, excused=0x80)
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            assert sensor.written == [b"one", b"two"]
    assert not [line for line in logs if line["event"] == "profile setup failed"]


async def test_a_silent_control_point_is_logged_and_streams_continue(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.conversation.ANSWER_S", 0.2)
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await still_streams(stage, sensor)
            assert sensor.written == [b"one"]
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "silent"
    ]


async def test_the_timeout_starts_again_with_every_record(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to "send everything" comes after everything."""
    monkeypatch.setattr("healthd.sessions.conversation.ANSWER_S", 2.0)
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "all"):
        loop = asyncio.get_running_loop()
        await sensor.asked.wait()
        began = loop.time()
        while loop.time() - began < 3.0:
            sensor.records.put_nowait(b"\x07")
            await stage.watcher.more("fff1", 1)
            await asyncio.sleep(0.02)  # within the share of a link
        assert not asked.closed.is_set()
        sensor.answers.put_nowait(b"done")
        await asked.closed.wait()
    assert asked.answers == [b"done"]


async def test_an_answer_that_cannot_be_decoded_ends_the_exchange(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: b"?"), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await still_streams(stage, sensor)
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "not_understood"
    ]


async def test_a_refusal_ends_the_exchange(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: b"no"), Asked()
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "one", "two"):
            await asked.closed.wait()
            await still_streams(stage, sensor)
    [line] = [line for line in logs if line["event"] == "profile setup failed"]
    assert (line["reason"], line["error"]) == ("refused", "not for you")
    assert b"two" not in sensor.written


async def test_an_opening_without_answers_does_not_wait(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked(is_answered=False)
    async with streaming(stage, sensor, asked, "one", "two"):
        await asked.closed.wait()
        await still_streams(stage, sensor)
    assert sensor.written == [b"one", b"two", b"bye one", b"bye two"]
    assert asked.answers == [b"", b""]
    assert not sensor.subscribed


async def test_a_running_exchange_is_aborted_before_the_last_requests(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await sensor.asked.wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"stop", b"bye one"]


async def test_a_finished_exchange_is_not_aborted(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_a_device_that_does_not_answer_is_asked_to_abort(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.conversation.ANSWER_S", 0.2)
    sensor, asked = Sensor(answer=lambda _: None), Asked(b"stop")
    async with streaming(stage, sensor, asked, "one"):
        await asked.closed.wait()
        await still_streams(stage, sensor)
        assert sensor.written == [b"one", b"stop"]


@pytest.mark.parametrize(("bound", "most"), [("_MOST_VALUES", 3), ("_LONGEST_S", 0.5)])
async def test_a_transfer_that_has_no_end_is_aborted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, bound: str, most: float
) -> None:
    """D5: a glucose meter that sends records forever."""
    monkeypatch.setattr("healthd.sessions.conversation.ANSWER_S", 0.3)
    monkeypatch.setattr(f"healthd.sessions.conversation.{bound}", most)
    sensor, asked = Sensor(answer=lambda _: None), Asked(b"stop")
    with capture_logs() as logs:
        async with streaming(stage, sensor, asked, "all"):
            await sensor.asked.wait()
            while not asked.closed.is_set():
                sensor.records.put_nowait(b"\x07")
                await stage.watcher.more("fff1", 1)
                await asyncio.sleep(0.01)  # within the share of a link
            await still_streams(stage, sensor)
            assert sensor.written == [b"all", b"stop"]
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "endless"
    ]


class Tape:
    """A link to control points that do not answer."""

    def __init__(self, *controls: str) -> None:
        self.controls = controls
        self.characteristics = frozenset(controls)
        self.written: list[tuple[str, bytes]] = []

    def can_write(self, uuid: str) -> bool:
        return uuid in self.controls

    async def write(self, uuid: str, value: bytes) -> None:
        self.written.append((uuid, value))


def profile_with_opening(uuid: str, turn: Turn) -> Profile:
    """Make a profile whose opening writes the UUID of its control point."""

    def exchange(_: Options) -> Exchange:
        yield uuid.encode()

    control = Characteristic(uuid, Battery, decode_level, Use.CONTROL)
    opening = Opening(uuid, exchange, answers=False, turn=turn)
    return Profile(f"of_{uuid}", uuid, (control,), opening=opening)


class Nothing:
    """The values of a link on which nothing has arrived."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.received: Counter[str] = Counter()


def openings_on(
    link: object,
    profiles: Registry,
    options: Options,
    on_message: Callable[[bytes], None] = lambda _: None,
) -> Openings:
    """Make openings for a fake link."""
    points = ControlPoints(cast(Link, link), profiles, lambda _, value: on_message(value))
    return Openings(points, "sensor", options, Nothing(), bond_lost)


async def run_openings(tape: Tape, *profiles: Profile) -> Openings:
    openings = openings_on(tape, Registry(profiles), Options())
    await openings.run(profiles)
    return openings


async def test_openings_run_in_the_order_clock_user_data() -> None:
    tape = Tape("fff1", "fff2", "fff3", "fff4")
    data, user = profile_with_opening("fff1", Turn.DATA), profile_with_opening("fff2", Turn.USER)
    clock, more = profile_with_opening("fff4", Turn.CLOCK), profile_with_opening("fff3", Turn.DATA)
    openings = await run_openings(tape, data, user, more, clock)
    assert [uuid for uuid, _ in tape.written] == ["fff4", "fff2", "fff1", "fff3"]
    assert openings.asked
    assert not openings.unfinished


@pytest.mark.parametrize(
    ("characteristics", "written"),
    [(("2a08",), ["2a08"]), (("2a08", "2a2b"), ["2a2b"]), (("2a2b",), ["2a2b"]), ((), [])],
)
async def test_a_clock_in_any_service_is_set_unless_there_is_a_current_time(
    characteristics: tuple[str, ...], written: list[str]
) -> None:
    profiles, tape = registry.load(), Tape(*characteristics)
    options = Options(local_time=lambda: datetime(2026, 11, 30, 8, 40, 5))  # noqa: DTZ001
    openings = openings_on(tape, profiles, options)
    found = [profiles.profiles["current_time"]] if "2a2b" in characteristics else []
    await openings.run(found, openings_anywhere(profiles.use_on(characteristics)))
    assert [uuid for uuid, _ in tape.written] == written
    assert all(value.startswith(bytes.fromhex("ea070b1e082805")) for _, value in tape.written)


@pytest.mark.parametrize("turn", [Turn.CLOCK, Turn.USER])
async def test_only_a_request_for_data_counts_as_asked(turn: Turn) -> None:
    tape = Tape("fff1")
    openings = await run_openings(tape, profile_with_opening("fff1", turn))
    assert tape.written == [("fff1", b"fff1")]
    assert not openings.asked


async def test_a_control_point_that_cannot_be_written_is_skipped() -> None:
    tape = Tape()
    with capture_logs() as logs:
        openings = await run_openings(
            tape, profile_with_opening("fff1", Turn.CLOCK), profile_with_opening("fff2", Turn.DATA)
        )
    assert (tape.written, logs) == ([], [])
    assert not openings.asked


class Wire:
    """A link to a control point that sends a message when it is subscribed, and answers at once."""

    characteristics = frozenset({"fff2"})

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
    """A link to a control point that requires pairing."""

    found = None

    async def subscribe(self, uuid: str, on_value: Callable[[bytes], None]) -> None:
        raise refused("org.bluez.Error.NotPermitted", "Not paired")


async def bond_lost(_: object, fault: LinkFault) -> LinkFault:
    return BondLost("sensor", fault)


async def test_a_refusal_for_lack_of_a_bond_is_explained() -> None:
    profiles = known(Asked())
    openings = openings_on(Locked(), profiles, Options(pmd=("one",)))
    with capture_logs() as logs:
        await openings.run([profiles.profiles["opens"]])
    [line] = [line for line in logs if line["event"] == "profile setup failed"]
    assert line["reason"] == "bond_lost"
    assert "healthd pair sensor --again" in line["error"]
    assert isinstance(openings.refusal, BondLost)


async def test_an_earlier_message_is_not_the_answer() -> None:
    asked, messages = Asked(), list[bytes]()
    profiles = known(asked)
    openings = openings_on(Wire(), profiles, Options(pmd=("one",)), messages.append)
    async with asyncio.timeout(BOUND_S):
        await openings.run([profiles.profiles["opens"]])
    assert asked.answers == [b"re:one"]
    assert messages == [b"stray", b"one", b"re:one"]


async def test_a_link_that_ends_during_an_exchange_ends_the_session(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await sensor.asked.wait()
        await peripheral.drop()
        with pytest.raises(LinkLost):
            await running
        assert asked.closed.is_set()
    assert stage.watcher.states[-1] == ("sensor", State.WAITING, "link_lost")


async def test_a_stop_during_an_exchange_closes_it(stage: Stage) -> None:
    sensor, asked = Sensor(answer=lambda _: None), Asked()
    async with streaming(stage, sensor, asked, "one") as (_, running):
        await sensor.asked.wait()
        await cancel(running)
        assert running.cancelled()
        assert asked.closed.is_set()


@pytest.mark.parametrize("answered", [True, False], ids=["after the answer", "before the answer"])
async def test_a_stop_writes_the_last_requests(stage: Stage, answered: bool) -> None:
    sensor, asked = Sensor(answer=lambda request: request if answered else None), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await (asked.closed if answered else sensor.asked).wait()
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_without_an_exchange_there_are_no_last_requests(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked) as (peripheral, running):
        await still_streams(stage, sensor)
        await cancel(running)
        await peripheral.unlinked.wait()
    assert sensor.written == []


async def test_a_lost_link_skips_the_last_requests(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        await peripheral.drop()
        with pytest.raises(LinkLost):
            await running
    assert sensor.written == [b"one"]


async def test_a_refused_last_request_does_not_stop_the_session_from_ending(stage: Stage) -> None:
    sensor, asked = Sensor(), Asked()
    async with streaming(stage, sensor, asked, "one") as (peripheral, running):
        await asked.closed.wait()
        sensor.refuse = 0x80
        await cancel(running)
        assert running.cancelled()
        await peripheral.unlinked.wait()
    assert sensor.written == [b"one", b"bye one"]


async def test_a_bug_in_an_exchange_is_reported_as_a_bug(stage: Stage) -> None:
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
