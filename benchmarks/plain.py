"""Plain aiomqtt as a process, with the reconnect loop of its documentation; see ``orders``.

https://aiomqtt.bo3hm.com/reconnection.html: a client that is entered again after an interval of
5 s. A sample that cannot be published is lost.
"""

import asyncio
import logging
import os
import sys
import time
from contextlib import suppress

import aiomqtt
import orjson

from benchmarks.floor import HOST, PAYLOAD
from benchmarks.orders import Answer, Order, Stopwatch, arguments, schedule, write_answer

TOPIC = "healthd/plain-{}/device/strap-{}/heart_rate"

_INTERVAL_S = 5


class Plain:
    """One client, and the number of each strap's last sample."""

    def __init__(self, port: int, peripherals: int) -> None:
        """Prepare."""
        self._client = aiomqtt.Client(HOST, port, protocol=aiomqtt.ProtocolVersion.V5)
        self._topics = [TOPIC.format(os.getpid(), n) for n in range(peripherals)]
        self._numbers = [0] * peripherals
        self._publishing = set[asyncio.Task[None]]()
        self.connected = asyncio.Event()

    async def keep_connected(self) -> None:
        """Connect again after each loss; never returns."""
        while True:
            try:
                async with self._client:
                    self.connected.set()
                    async for _ in self._client.messages:
                        pass
            except aiomqtt.MqttError:
                self.connected.clear()
                await asyncio.sleep(_INTERVAL_S)

    async def obey(self, order: Order) -> Answer:
        """Publish at a pace; return the cost."""
        loop, watch = asyncio.get_running_loop(), Stopwatch()
        start, count = loop.time(), 0
        for due_s, strap in schedule(len(self._topics), order["hz"], order["seconds"]):
            await asyncio.sleep(start + due_s - loop.time())
            task = asyncio.create_task(self._publish(strap))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
            count += 1
        return watch.answer(count)

    async def _publish(self, strap: int) -> None:
        if self.connected.is_set():
            self._numbers[strap] = number = self._numbers[strap] + 1
            payload = PAYLOAD % (number, time.time_ns(), number)
            with suppress(aiomqtt.MqttError):
                await self._client.publish(self._topics[strap], payload, qos=1)


async def _run() -> None:
    parsed = arguments("plain")
    # It warns of calls that wait for an acknowledgement.
    logging.disable()
    plain = Plain(parsed.port, parsed.peripherals)
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(plain.keep_connected())
        await plain.connected.wait()
        write_answer({"ready": True})
        async for line in reader:
            write_answer(await plain.obey(orjson.loads(line)))
        keeping.cancel()


if __name__ == "__main__":
    asyncio.run(_run())
