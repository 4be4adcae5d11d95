"""The program of docs/consumers.md that writes samples to InfluxDB or VictoriaMetrics."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.support.examples import BOUND_S, database_writer, running
from tests.support.mosquitto import StartMosquitto, needs_mosquitto
from tests.support.subscriber import publish

DEVICE = "healthd/home/device/strap"
SAMPLE = {
    "id": "7f3a1c0e-1",
    "time": "2026-11-24T02:03:31.123456Z",
    "clock": "synced",
    "seq": 1,
    "heart_rate_bpm": 72,
    "sensor_contact_detected": True,
    "rr_intervals_ms": [812.5, 803.7],
}
# 2026-11-24T02:03:31.123456Z in microseconds since 1970; `date -u -d` says 1795485811.
POINT = (
    "heart_rate,gateway=home,device=strap"
    " heart_rate_bpm=72.0,sensor_contact_detected=1.0 1795485811123456"
)


class Database:
    """What the example needs of a database: it answers each write with 204, and keeps it."""

    def __init__(self) -> None:
        self.writes: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.address = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        body = await reader.readexactly(int(lines["content-length"]))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        self.writes.put_nowait((head.split(" ")[1], body.decode()))


@asynccontextmanager
async def listening() -> AsyncGenerator[Database]:
    database = Database()
    server = await asyncio.start_server(database.answer, "127.0.0.1", 0)
    async with server:
        database.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield database


@needs_mosquitto
async def test_it_writes_live_and_late_samples_with_one_type_per_field(
    mosquitto: StartMosquitto,
) -> None:
    broker = await mosquitto("allow_anonymous true\npersistence false")
    async with listening() as database:
        command = database_writer(broker.port, database.address)
        async with running(*command), asyncio.timeout(BOUND_S):
            await broker.logged("Received SUBSCRIBE from to-database")
            await publish(broker.port, f"{DEVICE}/status", "online")
            await publish(broker.port, f"{DEVICE}/info", '{"state":"streaming"}')
            await publish(broker.port, f"{DEVICE}/heart_rate", json.dumps(SAMPLE))
            await publish(broker.port, f"{DEVICE}/heart_rate/history", json.dumps(SAMPLE))
            live = await database.writes.get()
            late = await database.writes.get()
    # The same tags and the same time: the database keeps one of them.
    assert live == late == ("/write?db=healthd&precision=u", POINT)
