"""Feeds: queued payloads and their subscriptions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from healthd.simulator.feed import Feed


async def test_feed_without_a_subscription_discards_payloads() -> None:
    feed = Feed()
    feed.put(b"discarded")
    async with asyncio.timeout(5), aclosing(feed.payloads()) as payloads:
        waiting = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(0)
        assert feed.is_open
        feed.put(b"sent")
        assert await waiting == b"sent"


async def test_drain_ends_when_the_reader_requests_the_next_payload() -> None:
    feed = Feed()
    async with asyncio.timeout(5), aclosing(feed.payloads()) as payloads:
        waiting = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(0)
        feed.put(b"one")
        drained = asyncio.ensure_future(feed.drain())
        await waiting
        await asyncio.sleep(0)
        assert not drained.done()
        waiting = asyncio.ensure_future(anext(payloads))
        await drained
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_drain_ends_with_the_subscription() -> None:
    ends: list[str] = []
    feed = Feed(lambda: ends.append("end"))
    async with asyncio.timeout(5):
        async with aclosing(feed.payloads()) as payloads:
            waiting = asyncio.ensure_future(anext(payloads))
            await asyncio.sleep(0)
            feed.put(b"one")
            feed.put(b"two")
            await waiting
            drained = asyncio.ensure_future(feed.drain())
        await drained
    assert ends == ["end"]
    assert not feed.is_open


async def test_feed_merged_with_another_source() -> None:
    closed: list[str] = []

    async def others() -> AsyncGenerator[bytes, None]:
        try:
            yield b"other source"
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    feed = Feed()
    async with asyncio.timeout(5):
        async with aclosing(feed.merged_with(others)()) as payloads:
            assert await anext(payloads) == b"other source"
            feed.put(b"feed")
            assert await anext(payloads) == b"feed"
    assert closed == ["closed"]
    assert not feed.is_open
