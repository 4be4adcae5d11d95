"""The lines of a capture on their way to a command."""

import asyncio
from typing import Any

from healthd.gateway.capturing.recording import Recording
from healthd.gateway.capturing.stream import Stream
from healthd.traffic.codec import lines
from healthd.traffic.lines import AdapterChanged, Line, Missing, Start


def header() -> dict[str, Any]:
    return {"peripheral": {"id": "strap"}}


async def read(stream: Stream, until: type[Line]) -> list[Line]:
    """Read a stream up to the first line of this kind."""
    text = b""
    async with asyncio.timeout(20):
        async for piece in stream.pieces():
            text += piece
            found = list(lines(text.splitlines()))
            if any(isinstance(line, until) for line in found):
                return found
    raise AssertionError("a stream has no end")


async def test_lines_come_in_order() -> None:
    stream = Stream()
    recording = Recording(stream, header)
    recording.begin()
    for number in range(3):
        recording.write(AdapterChanged, change=f"number {number}")
    found = await read(stream, AdapterChanged)
    assert isinstance(found[0], Start)
    assert found[0].peripheral == {"id": "strap"}
    assert [line.change for line in found if isinstance(line, AdapterChanged)] == [
        "number 0",
        "number 1",
        "number 2",
    ]


async def test_what_a_slow_reader_misses_is_counted() -> None:
    stream = Stream()
    recording = Recording(stream, header)
    recording.begin()
    # As long as nothing is read, memory does not grow.
    for _ in range(2000):
        recording.write(AdapterChanged, change="x", detail="x" * 1000)
    first = await read(stream, AdapterChanged)
    recording.write(AdapterChanged, change="last")
    found = [*first, *await rest(stream)]
    kept = sum(isinstance(each, AdapterChanged) for each in found)
    assert 200 < kept < 256
    missing = [line.count or 0 for line in found if isinstance(line, Missing)]
    assert sum(missing) + kept == 2001
    assert isinstance(found[-2], Missing)
    assert recording.missing == 0


async def rest(stream: Stream) -> list[Line]:
    """Return the lines that a stream has, up to one whose change is ``last``."""
    text = b""
    async with asyncio.timeout(20):
        async for piece in stream.pieces():
            text += piece
            if b'"last"' in text:
                break
    start = b'{"what":"start","t":0,"time":"2026-11-24T00:00:00Z","format":"healthd-capture/1",'
    start += b'"source":"healthd","identity":"kept"}'
    return list(lines([start, *text.splitlines()]))[1:]


async def test_a_line_that_cannot_be_written_is_counted() -> None:
    stream = Stream()
    recording = Recording(stream, header)
    recording.begin()
    recording.write(AdapterChanged, change="x", detail="surrogate \ud800")
    recording.write(AdapterChanged, change="next")
    found = await read(stream, AdapterChanged)
    assert [type(line) for line in found] == [Start, Missing, AdapterChanged]
