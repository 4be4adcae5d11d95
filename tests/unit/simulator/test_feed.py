"""What is sent in a rhythm, and what is sent when something happens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from healthd.simulator.feed import Feed


async def test_a_feed_without_a_reader_keeps_nothing() -> None:
    feed = Feed()
    feed.put(b"lost")
    async with asyncio.timeout(5), aclosing(feed.payloads()) as payloads:
        waiting = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(0)
        assert feed.is_open
        feed.put(b"heard")
        assert await waiting == b"heard"


async def test_sent_means_that_the_reader_came_back_for_more() -> None:
    feed = Feed()
    async with asyncio.timeout(5), aclosing(feed.payloads()) as payloads:
        waiting = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(0)
        feed.put(b"one")
        sent = asyncio.ensure_future(feed.sent())
        await waiting
        await asyncio.sleep(0)
        assert not sent.done()
        waiting = asyncio.ensure_future(anext(payloads))
        await sent
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_the_end_of_a_subscription_lets_go_of_who_waits() -> None:
    ends: list[str] = []
    feed = Feed(lambda: ends.append("end"))
    async with asyncio.timeout(5):
        async with aclosing(feed.payloads()) as payloads:
            waiting = asyncio.ensure_future(anext(payloads))
            await asyncio.sleep(0)
            feed.put(b"one")
            feed.put(b"two")
            await waiting
            sent = asyncio.ensure_future(feed.sent())
        await sent
    assert ends == ["end"]
    assert not feed.is_open


async def test_a_feed_beside_another_source() -> None:
    closed: list[str] = []

    async def others() -> AsyncGenerator[bytes, None]:
        try:
            yield b"theirs"
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    feed = Feed()
    async with asyncio.timeout(5):
        async with aclosing(feed.beside(others)()) as payloads:
            assert await anext(payloads) == b"theirs"
            feed.put(b"ours")
            assert await anext(payloads) == b"ours"
    assert closed == ["closed"]
    assert not feed.is_open
