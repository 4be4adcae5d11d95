"""Devices that measure only when they are asked, again and again."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from healthd.central.faults import LinkFault, LinkLost, refused
from healthd.central.link import Link
from healthd.errors import DecodeError
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Polling, Request
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.faults import NotificationStalled
from healthd.sessions.polling import Polls
from tests.support.maker import channel, control, frame
from tests.unit.sessions.maker import Maker

NEW, OLD = frame(1, 0x10), frame(2, 0x11)
EVERY_S = 0.05


class Nothing:
    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.received: Counter[str] = Counter()


async def unexplained(_: object, fault: LinkFault) -> LinkFault:
    return fault


def the_new_one(_: Options) -> Dialogue:
    while True:
        yield NEW


def new_or_old(_: Options) -> Dialogue:
    """Ask as the newer devices want it; the older ones do not answer that."""
    try:
        yield NEW
        request = NEW
    except NoAnswer:
        request = OLD
    while True:
        yield request


def polls_of(
    device: Maker,
    exchange: Callable[[Options], Dialogue] = the_new_one,
    silence_s: float = 5.0,
    every_s: float = EVERY_S,
) -> Polls:
    point = control(channel(answer_s=0.05, tries=1), silence_s)
    profile = Profile("made_up", "fff0", (point,), polling=Polling("fff1", exchange, every_s))
    points = ControlPoints(cast(Link, device), Registry([profile]), lambda _, __: None)
    polls = Polls(points, "device", Options(), Nothing(), unexplained)
    polls.expect([profile])
    return polls


async def within(polling: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(20):
        await polling


def echo(request: bytes) -> list[bytes]:
    return [frame(request[1], 0x90)]


async def test_a_run_ends_after_one_answered_request() -> None:
    device = Maker(echo)
    polls = polls_of(device)
    assert (polls.unfinished, polls.asked) == (True, False)
    await within(polls.run(None, once=True))
    assert device.written == [NEW]
    assert (polls.unfinished, polls.asked, polls.asks) == (False, True, False)


async def test_a_run_is_not_over_before_the_fallback_was_answered() -> None:
    device = Maker(lambda request: echo(request) if request == OLD else [])
    await within(polls_of(device, new_or_old).run(None, once=True))
    assert device.written == [NEW, OLD]


async def test_a_run_asks_for_every_kind_of_values_once() -> None:
    def both(_: Options) -> Dialogue:
        while True:
            yield NEW
            yield OLD

    device = Maker(echo)
    await within(polls_of(device, both).run(None, once=True))
    assert device.written == [NEW, OLD]


async def test_requests_keep_their_distance_without_drift() -> None:
    device, times = Maker(), list[float]()

    def timed(request: bytes) -> list[bytes]:
        times.append(time.monotonic())
        return echo(request) if len(times) < 12 else []

    device.on_request = timed
    with pytest.raises(NotificationStalled):
        await within(polls_of(device, silence_s=0.2).run(None, once=False))
    # A busy machine makes single requests late, but never early, and the rest does not shift.
    assert all(at - times[0] >= index * EVERY_S - 0.01 for index, at in enumerate(times))


async def test_requests_without_answers_end_the_link_after_the_deadline() -> None:
    device, began = Maker(), time.monotonic()
    with capture_logs() as logs, pytest.raises(NotificationStalled):
        await within(polls_of(device, silence_s=0.4).run(None, once=False))
    assert time.monotonic() - began >= 0.4
    assert len(device.written) > 1
    assert [line["reason"] for line in logs if line["event"] == "poll failed"] == ["silent"]


async def test_the_settings_replace_the_deadline() -> None:
    with pytest.raises(NotificationStalled):
        await within(polls_of(Maker(), silence_s=1000).run(0.2, once=False))


async def test_a_single_request_without_an_answer_changes_nothing() -> None:
    missed = iter([False, True, False, True])

    def seldom(request: bytes) -> list[bytes]:
        return [] if next(missed, True) else echo(request)

    device = Maker(seldom)
    with pytest.raises(NotificationStalled):
        await within(polls_of(device, silence_s=0.3).run(None, once=False))
    assert len(device.written) > 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [(DecodeError("offset 0"), "not_understood"), (ExchangeRefused("no"), "refused")],
)
async def test_what_a_dialogue_does_not_like_is_logged_once_and_asked_again(
    error: Exception, reason: str
) -> None:
    asked = 0

    def picky(_: Options) -> Dialogue:
        nonlocal asked
        asked += 1
        yield NEW
        if asked < 3:
            raise error

    device = Maker(echo)
    with capture_logs() as logs:
        await within(polls_of(device, picky).run(None, once=True))
    assert len(device.written) == 3
    assert [line["reason"] for line in logs if line["event"] == "poll failed"] == [reason]


async def test_a_link_that_ends_ends_the_polling() -> None:
    class Gone(Maker):
        async def write(self, uuid: str, value: bytes, *, response: bool = True) -> None:
            raise LinkLost

    polls = polls_of(Gone())
    with pytest.raises(LinkLost):
        await within(polls.run(None, once=True))
    assert polls.broke_off
    assert polls.unfinished


async def test_a_device_that_lacks_the_control_point_is_not_polled() -> None:
    device = Maker()
    device.properties = {}
    polls = polls_of(device)
    await within(polls.run(None, once=True))
    assert (device.written, polls.asked) == ([], False)


async def test_a_transfer_in_a_polling_is_not_paced() -> None:
    parts = 200

    def with_file(_: Options) -> Dialogue:
        while True:
            yield NEW
            for number in range(parts):
                yield Request(frame(3, 0x12, bytes([number])), at_once=True)

    device, began = Maker(echo), time.monotonic()
    polls = polls_of(device, with_file, every_s=3600.0)
    task = asyncio.create_task(polls.run(None, once=False))
    while len(device.written) <= parts:
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 20
    task.cancel()
    await asyncio.wait([task])
    assert len(device.written) == 1 + parts  # the next one is due in an hour


async def test_a_transfer_that_is_not_answered_is_paced() -> None:
    def with_file(_: Options) -> Dialogue:
        yield NEW
        while True:
            with suppress(NoAnswer):
                yield Request(OLD, at_once=True)

    device = Maker(lambda request: echo(request) if request == NEW else [])
    with pytest.raises(NotificationStalled):
        await within(polls_of(device, with_file, silence_s=0.5, every_s=0.25).run(None, once=False))
    assert len(device.written) <= 4  # ten, if each followed the timeout of the last one


async def test_a_transfer_without_an_end_becomes_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.sessions.polling.MOST_BYTES", 10 * len(frame(1, 0x90)))

    def endless(_: Options) -> Dialogue:
        while True:
            yield Request(NEW, at_once=True)

    device = Maker(echo)
    polls = polls_of(device, endless, every_s=3600.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await polls.run(None, once=False)
    assert len(device.written) == 10


async def test_a_device_that_refuses_ends_the_link_with_its_refusal() -> None:
    class Refusing(Maker):
        async def write(self, uuid: str, value: bytes, *, response: bool = True) -> None:
            raise refused("org.bluez.Error.NotPermitted", "Not paired")

    with capture_logs() as logs, pytest.raises(LinkFault) as raised:
        await within(polls_of(Refusing(), silence_s=0.2).run(None, once=False))
    assert raised.value.reason == "not_paired"
    assert [line["reason"] for line in logs if line["event"] == "poll failed"] == ["not_paired"]


async def test_a_run_ends_if_there_is_nothing_to_ask() -> None:
    def nothing(options: Options) -> Dialogue:
        if options.key is not None:
            yield NEW

    device = Maker()
    await within(polls_of(device, nothing).run(None, once=True))
    assert device.written == []
