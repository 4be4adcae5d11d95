"""A control point of a device that says more than it is asked."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from healthd.central.link import Link
from healthd.profiles import registry
from healthd.profiles.characteristic import Characteristic
from healthd.sessions.control_point import ControlPoint, ControlPoints, Silent

RECORD_ACCESS = "2a52"
KEPT = 64


class Chatty:
    """A link whose device indicates whatever the test lets it."""

    def __init__(self) -> None:
        self.indicate: Callable[[bytes], None] = lambda _: None
        self.on_write: Callable[[bytes], None] = lambda _: None

    async def subscribe(self, _: str, on_value: Callable[[bytes], None]) -> None:
        self.indicate = on_value

    async def write(self, _: str, value: bytes) -> None:
        self.on_write(value)


def point_of(
    link: Chatty, on_message: Callable[[Characteristic, bytes], None] = lambda _, __: None
) -> ControlPoint:
    return ControlPoints(cast(Link, link), registry.load(), on_message).of(RECORD_ACCESS)


async def test_what_is_indicated_unasked_is_kept_up_to_a_bound() -> None:
    """D13: a control point that notifies unasked grew a queue forever."""
    link, messages = Chatty(), list[bytes]()
    point = point_of(link, lambda _, value: messages.append(value))
    await point.subscribe()
    for number in range(10 * KEPT):
        link.indicate(number.to_bytes(2))
    assert len(messages) == 10 * KEPT  # the profile's state sees each of them
    unread = [int.from_bytes(await point.answer()) for _ in range(KEPT)]
    assert unread == list(range(9 * KEPT, 10 * KEPT))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await point.answer()


async def test_an_answer_among_many_other_messages_is_found() -> None:
    link = Chatty()
    point = point_of(link)

    def chatter(_: bytes) -> None:
        for number in range(10 * KEPT):
            link.indicate(number.to_bytes(2))
        link.indicate(b"answer")

    link.on_write = chatter
    assert await point.ask(b"?", lambda value: value == b"answer", 10) == b"answer"


async def test_chatter_instead_of_an_answer_is_silence() -> None:
    link = Chatty()
    point = point_of(link)
    link.on_write = lambda _: link.indicate(b"hello")
    with pytest.raises(Silent):
        await point.ask(b"?", lambda value: value == b"answer", 0.05)
