"""Devices of a made-up maker: a memory to be fetched in pieces, and live values on request."""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from healthd.profiles import registry
from healthd.profiles.battery import Battery
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Opening, Polling
from healthd.profiles.heart_rate import HeartRate
from healthd.profiles.identity import Identity
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.samples import Measurement, Record
from healthd.simulator.attributes import notifying, service
from healthd.simulator.feed import Feed
from healthd.simulator.part import Part
from tests.field.rig import Field, P, device, information
from tests.support.maker import (
    ANSWER,
    COUNT,
    LIVE,
    NOTIFIES,
    READ,
    WRITES,
    Message,
    channel,
    control,
    frame,
    pieces,
)

BOX = {"id": "box", "name": "Box"}
ONCE = {**BOX, "every": "1h", "window": "20s"}
LEVELS = [91, 85, 72, 64, 50, 33, 21, 8]
BPM = 61


def fetch(_: Options) -> Dialogue:
    """Ask for each record."""
    try:
        answer = yield frame(1, COUNT)
    except NoAnswer:
        return  # it has no memory
    for index in range(answer[3]):
        yield frame((2 + index) % 256, READ, bytes([index]))


def live(_: Options) -> Dialogue:
    while True:
        yield frame(0, LIVE)


class Values:
    """What the frames of a box mean."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        assert isinstance(measurement, Message)
        if measurement.order == READ | ANSWER:
            index, level_pct = measurement.data[:2]
            record = Record("", index, "")
            yield Timed(Battery(level_pct=level_pct), mono_ns, record, stored=True)
        elif measurement.order == LIVE | ANSWER:
            heart_rate = HeartRate(
                heart_rate_bpm=measurement.data[0],
                sensor_contact_supported=False,
                sensor_contact_detected=None,
            )
            yield Timed(heart_rate, mono_ns)


class Box:
    """A box with a memory.

    Attributes:
        device: the box.
        requests: what has arrived whole.
        levels: its records.
        more: what each of them contains in addition.
        mood: gets each request; what it returns is sent instead of the usual answer, if anything.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.levels, self.more = LEVELS, b""
        self.mood: Callable[[bytes], Iterable[bytes] | None] = lambda _: None
        self._request = b""
        self._hangs: set[asyncio.Task[None]] = set()
        feeds = {uuid: Feed() for uuid in NOTIFIES}
        self._feeds = feeds
        sending = {notifying(int(uuid, 16)): feed.payloads for uuid, feed in feeds.items()}
        written = [
            Characteristic(
                UUID.from_16_bits(int(uuid, 16)),
                P.WRITE,
                Characteristic.WRITEABLE,
                CharacteristicValue[bytes](write=self._write),
            )
            for uuid in WRITES
        ]
        whole = Part(service(0xFFF0, [*written, *sending]), sending, advertised=True)
        self.device = device("Box", whole, information(manufacturer="Maker", model="B-12"))

    def hang_up(self) -> Iterable[bytes]:
        task = asyncio.get_running_loop().create_task(self.device.drop())
        self._hangs.add(task)
        return ()

    def _write(self, _: Connection | None, piece: bytes) -> None:
        self._request += piece
        if len(self._request) < self._request[0]:
            return
        request, self._request = self._request, b""
        self.requests.append(request)
        answers = self.mood(request)
        for whole in self._usual(request) if answers is None else answers:
            for uuid, part in pieces(whole, NOTIFIES):
                self._feeds[uuid].put(part)

    def _usual(self, request: bytes) -> Iterable[bytes]:
        number, order = request[1:3]
        data = {
            COUNT: bytes([len(self.levels)]),
            READ: bytes([request[3], self.levels[request[3] % len(self.levels)]]) + self.more,
            LIVE: bytes([BPM]),
        }
        yield frame(number, order | ANSWER, data[order])


@pytest.fixture
def known(field: Field) -> Callable[..., None]:
    """Return what adds the profile of the box, with a memory, live values or both."""

    def add(
        *,
        memory: bool = True,
        polled: bool = True,
        tries: int = 3,
        ask: Callable[[Options], Dialogue] = fetch,
    ) -> None:
        profile = Profile(
            "box",
            "fff0",
            (control(channel(answer_s=1.0, tries=tries), silence_s=3.0),),
            state=lambda _: Values(),
            opening=Opening("fff1", ask) if memory else None,
            polling=Polling("fff1", live, 0.2) if polled else None,
            derived=(Battery, HeartRate),
        )
        field.known = Registry([profile, *registry.load().profiles.values()])

    return add


def numbers(field: Field) -> list[int]:
    """Return the stored levels that arrived."""
    return [one["level_pct"] for one in field.received("box", "battery/history")]


async def until_all(field: Field) -> None:
    await field.until(lambda: len(numbers(field)) >= len(LEVELS))


async def test_a_memory_is_fetched_before_live_values_are_asked_for(
    field: Field, known: Callable[..., None]
) -> None:
    known()
    box = Box()
    async with field.gateway(BOX, box.device):
        await field.until_values("box", "heart_rate", 3)
        await until_all(field)
    assert numbers(field) == LEVELS
    assert {one["heart_rate_bpm"] for one in field.received("box", "heart_rate")} == {BPM}
    orders = [request[2] for request in box.requests]
    assert orders[: len(LEVELS) + 2] == [COUNT, *[READ] * len(LEVELS), LIVE]


async def test_a_device_that_hangs_up_in_the_middle_gives_each_record_once(
    field: Field, known: Callable[..., None]
) -> None:
    known(polled=False)
    box, broken = Box(), {3, 6}

    def hang_up_at(request: bytes) -> Iterable[bytes] | None:
        if request[2] == READ and request[3] in broken:
            broken.remove(request[3])
            return box.hang_up()
        return None

    box.mood = hang_up_at
    async with field.gateway(ONCE, box.device):
        await field.until(lambda: bool(field.events("fetch")))
    assert sorted(numbers(field)) == sorted(LEVELS)
    assert box.device.links == 3
    assert [event["outcome"] for event in field.events("fetch")] == ["new_data"]


async def test_a_run_whose_transfer_is_not_answered_is_tried_again(
    field: Field, known: Callable[..., None]
) -> None:
    known(polled=False, tries=2)
    box, missed = Box(), [READ] * 2

    def miss(request: bytes) -> Iterable[bytes] | None:
        if request[2] == READ and request[3] == 4 and missed:
            missed.pop()
            return ()
        return None

    box.mood = miss
    async with field.gateway(ONCE, box.device):
        await field.until(lambda: bool(field.events("fetch")))
    assert sorted(numbers(field)) == sorted(LEVELS)
    assert box.device.links == 2
    assert [event["outcome"] for event in field.events("fetch")] == ["new_data"]


async def test_a_full_memory_is_within_the_share_of_a_link(
    field: Field, known: Callable[..., None]
) -> None:
    known(polled=False)
    box = Box()
    # 255 answers of 12 pieces: as many notifications as a stream may send in half a minute.
    box.levels, box.more = [index % 100 for index in range(255)], bytes(40)
    async with field.gateway(BOX, box.device):
        await field.until(lambda: len(numbers(field)) >= len(box.levels))
    assert sorted(numbers(field)) == sorted(box.levels)
    assert len(box.requests) == 1 + len(box.levels)
    assert field.events("gap") == []


async def test_wrong_sums_and_foreign_frames_in_between_cost_no_record(
    field: Field, known: Callable[..., None]
) -> None:
    known(polled=False)
    box, spoiled = Box(), set(range(len(LEVELS)))

    def spoil(request: bytes) -> Iterable[bytes] | None:
        number, order, index = request[1:4]
        if order != READ:
            return None
        right = frame(number, READ | ANSWER, bytes([index, LEVELS[index]]))
        if index in spoiled:
            spoiled.remove(index)
            return [right[:-1] + bytes([right[-1] ^ 0x55])]
        return [frame(99, 0xFF, b"unasked"), right]

    box.mood = spoil
    async with field.gateway(BOX, box.device):
        await until_all(field)
    assert numbers(field) == LEVELS


async def test_a_device_that_stops_answering_is_linked_again(
    field: Field, known: Callable[..., None]
) -> None:
    known(memory=False)
    box = Box()
    box.mood = lambda _: () if box.device.links == 1 and len(box.requests) > 3 else None
    async with field.gateway(BOX, box.device):
        await field.until(lambda: box.device.links > 1)
        before = len(field.received("box", "heart_rate"))
        await field.until_values("box", "heart_rate", before + 3)
    assert "stalled" in [event.get("reason") for event in field.events("link")]


async def test_a_device_that_floods_its_answers_is_cut_off(
    field: Field, known: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.door._ENDS_AT", 200)
    known(memory=False)
    box = Box()
    flood = 1_000 * [frame(0, LIVE | ANSWER, b"?")]
    box.mood = lambda _: flood if box.device.links == 1 else None
    async with field.gateway(BOX, box.device):
        await field.until(lambda: box.device.links > 1)
        before = len(field.received("box", "heart_rate"))
        await field.until_values("box", "heart_rate", before + 2)
    assert "too_fast" in [event["reason"] for event in field.events("gap")]
    reasons = [event.get("reason") for event in field.events("link")]
    assert "flooding" in reasons
    assert "bug" not in reasons


@pytest.mark.parametrize("entry", [BOX, ONCE], ids=["linked", "periodic"])
async def test_dialogues_know_which_model_they_talk_to(
    field: Field, known: Callable[..., None], entry: dict[str, str]
) -> None:
    talked_to: list[Identity] = []

    def noted(options: Options) -> Dialogue:
        talked_to.append(options.device)
        return fetch(options)

    known(polled=False, ask=noted)
    async with field.gateway(entry, Box().device):
        await until_all(field)
    assert talked_to == [Identity("Box", "Maker", "B-12")]


async def test_a_run_ends_if_a_dialogue_refuses_the_device(
    field: Field, known: Callable[..., None]
) -> None:
    def refuse(options: Options) -> Dialogue:
        if options.device.name == "Box":
            raise ExchangeRefused("an unknown model")
        yield b""

    known(polled=False, ask=refuse)
    box = Box()
    async with field.gateway(ONCE, box.device):
        await field.until(lambda: bool(field.events("fetch")))
    assert [event["outcome"] for event in field.events("fetch")] == ["no_data"]
    assert box.requests == []


async def test_a_run_takes_one_live_value(field: Field, known: Callable[..., None]) -> None:
    known(memory=False)
    box = Box()
    async with field.gateway(ONCE, box.device):
        await field.until(lambda: bool(field.events("fetch")))
    assert [request[2] for request in box.requests] == [LIVE]
    [event] = field.events("fetch")
    assert (event["outcome"], event["samples"]) == ("new_data", 1)
