"""Requests and answers that travel in pieces over several characteristics."""

from collections import Counter
from collections.abc import Iterable
from typing import cast

import pytest
from structlog.testing import capture_logs

from healthd.central.faults import LinkFault
from healthd.central.link import Link
from healthd.profiles.characteristic import Channel
from healthd.profiles.dialogue import Dialogue, NoAnswer, Opening, Request
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.control_point import ControlPoints
from healthd.sessions.opening import Openings
from tests.support.maker import channel, control, frame
from tests.unit.sessions.maker import Maker

ASK, MORE = frame(1, 0x10, b"hello"), frame(2, 0x11)
ANSWER, LAST = frame(1, 0x90, b"a long answer"), frame(2, 0x91)


class Asks:
    """A dialogue that makes requests and notes what is answered."""

    def __init__(self, *requests: bytes | Request, catches: bool = False) -> None:
        self.requests, self.catches = requests, catches
        self.answers: list[bytes | None] = []

    def exchange(self, _: Options) -> Dialogue:
        for request in self.requests:
            try:
                self.answers.append((yield request))
            except NoAnswer:
                if not self.catches:
                    raise
                self.answers.append(None)


class Nothing:
    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.received: Counter[str] = Counter()


async def no_more_is_known(_: object, fault: LinkFault) -> LinkFault:
    return fault


async def opened(
    device: Maker, asks: Asks, made: Channel | None = None, closing: Iterable[bytes] = ()
) -> tuple[list[bytes], Openings]:
    """Run the dialogue as an opening; return the messages of the control point, and the opening."""
    point = control(made)
    opening = Opening(point.uuid, asks.exchange, lambda _: closing)
    profile = Profile("made_up", "fff0", (point,), opening=opening)
    messages: list[bytes] = []
    points = ControlPoints(
        cast(Link, device), Registry([profile]), lambda _, message: messages.append(message)
    )
    openings = Openings(points, "device", Options(), Nothing(), no_more_is_known)
    await openings.run([profile])
    return messages, openings


async def test_frames_are_cut_and_joined() -> None:
    device = Maker(lambda request: [ANSWER if request == ASK else LAST])
    asks = Asks(ASK, MORE)
    messages, _ = await opened(device, asks)
    assert asks.answers == [ANSWER, LAST]
    assert messages == [ASK, ANSWER, MORE, LAST]
    assert device.subscribed == ["fff3", "fff4"]
    assert device.pieces[:3] == [
        ("fff1", ASK[:4], True),
        ("fff2", ASK[4:8], True),
        ("fff1", ASK[8:], True),
    ]


@pytest.mark.parametrize(
    ("properties", "acknowledged", "response"),
    [
        ("write", True, True),
        ("write", False, True),
        ("write-without-response", True, False),
        ("write-without-response", False, False),
        ("write write-without-response", True, True),
        ("write write-without-response", False, False),
    ],
)
async def test_how_pieces_are_written_depends_on_channel_and_device(
    properties: str, acknowledged: bool, response: bool
) -> None:
    device = Maker(lambda _: [LAST])
    device.properties = {"fff1": properties}
    asks = Asks(MORE)
    await opened(device, asks, channel(acknowledged=acknowledged))
    assert device.pieces == [("fff1", MORE, response)]
    assert asks.answers == [LAST]


async def test_a_wrong_sum_counts_as_no_answer_and_the_next_try_is_right() -> None:
    answers = iter([ANSWER[:-1] + b"\0", ANSWER])
    device, asks = Maker(lambda _: [next(answers)]), Asks(ASK)
    with capture_logs() as logs:
        messages, _ = await opened(device, asks)
    assert asks.answers == [ANSWER]
    assert messages == [ASK, ASK, ANSWER]
    assert [line["log_level"] for line in logs if line["event"] == "undecoded"] == ["debug"]


async def test_half_an_answer_is_dropped_when_the_request_is_written_again() -> None:
    answers = iter([ANSWER[:7], ANSWER])
    device, asks = Maker(lambda _: [next(answers)]), Asks(ASK)
    await opened(device, asks)
    assert asks.answers == [ANSWER]


async def test_no_answer_is_thrown_into_the_dialogue_after_all_tries() -> None:
    device, asks = (
        Maker(lambda request: [LAST] if request == MORE else ()),
        Asks(ASK, MORE, catches=True),
    )
    await opened(device, asks)
    assert asks.answers == [None, LAST]
    assert device.written == [ASK, ASK, ASK, MORE]


async def test_a_dialogue_that_does_not_catch_it_ends() -> None:
    device, asks = Maker(), Asks(ASK, MORE)
    with capture_logs() as logs:
        await opened(device, asks)
    assert device.written == [ASK, ASK, ASK]
    [line] = [line for line in logs if line["event"] == "profile setup failed"]
    assert (line["log_level"], line["reason"]) == ("warning", "silent")


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    device = Maker(lambda request: [] if request == ASK else [ANSWER, LAST])
    asks = Asks(Request(ASK, tries=1), MORE, catches=True)
    messages, _ = await opened(device, asks)
    assert asks.answers == [None, LAST]
    assert messages == [ASK, MORE, ANSWER, LAST]


async def test_an_answer_may_come_before_the_write_is_acknowledged() -> None:
    device, asks = Maker(lambda _: [LAST]), Asks(MORE)
    device.acknowledges_after_s = 0.1
    await opened(device, asks)
    assert asks.answers == [LAST]


async def test_a_request_may_have_its_own_timeouts_or_no_answer() -> None:
    device = Maker(lambda request: [LAST] if request == MORE else ())
    asks = Asks(
        Request(ASK, answers=False), Request(ASK, tries=2, answer_s=0.05), MORE, catches=True
    )
    await opened(device, asks)
    assert asks.answers == [b"", None, LAST]
    assert device.written == [ASK, ASK, ASK, MORE]


async def test_an_empty_request_only_subscribes() -> None:
    device, asks = Maker(), Asks(Request(b""))
    messages, _ = await opened(device, asks)
    assert (asks.answers, messages) == ([b""], [])
    assert (device.subscribed, device.pieces) == (["fff3", "fff4"], [])


async def test_the_last_requests_are_cut_as_well() -> None:
    device = Maker(lambda request: [LAST] if request == MORE else ())
    _, openings = await opened(device, Asks(MORE), closing=[ASK])
    await openings.close()
    assert device.written == [MORE, ASK]


@pytest.mark.parametrize(
    ("bound", "most"), [("_MOST_VALUES", 3), ("MOST_BYTES", 50), ("_LONGEST_S", 0.2)]
)
async def test_a_dialogue_without_an_end_is_aborted(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: float
) -> None:
    monkeypatch.setattr(f"healthd.sessions.conversation.{bound}", most)

    class Endless(Asks):
        def exchange(self, _: Options) -> Dialogue:
            while True:
                yield ASK

    device = Maker(lambda _: [ANSWER])
    device.acknowledges_after_s = 0.01
    with capture_logs() as logs:
        await opened(device, Endless())
    assert [line["reason"] for line in logs if line["event"] == "profile setup failed"] == [
        "endless"
    ]
    assert len(device.written) > 1


async def test_a_transfer_of_thousands_of_requests_is_possible() -> None:
    device = Maker(lambda _: [ANSWER])
    asks = Asks(*5_000 * [ASK])
    await opened(device, asks)
    assert len(asks.answers) == 5_000


async def test_a_control_point_that_the_device_lacks_does_not_answer() -> None:
    device = Maker(lambda _: [LAST])
    asks = Asks(Request(ASK, control="2a52"), MORE, catches=True)
    await opened(device, asks)
    assert asks.answers == [None, LAST]
    assert device.written == [MORE]
