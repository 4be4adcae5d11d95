"""Feeds: queued payloads and their subscriptions."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from healthd.simulator.feed import Feed, Ticker


async def test_ticker_skips_overdue_ticks_and_returns_their_time() -> None:
    period, loop = 0.02, asyncio.get_running_loop()
    start = loop.time()
    ticker = Ticker(period)
    total = await ticker.tick()
    _block(3.5 * period)
    late = await ticker.tick()
    assert late >= 2.99 * period
    total += late
    # Delays do not add up: every tick is at a multiple of the period.
    assert total / period == pytest.approx(round(total / period))
    assert total <= loop.time() - start + period / 2


def _block(seconds: float) -> None:
    """Block the event loop, as other work on a busy machine does."""
    time.sleep(seconds)


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
