"""What people write instead of healthd: heart-rate straps to MQTT with bleak and aiomqtt.

It follows the examples of both libraries: bleak's two_devices.py has the lock around scanning and
connecting, and its README the end of a link.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import Any

import aiomqtt
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"
NUMBERS = count(1)


def decode(data: bytearray) -> dict[str, Any]:
    flags, at = data[0], 1
    size = 2 if flags & 1 else 1
    values: dict[str, Any] = {"heart_rate_bpm": int.from_bytes(data[at : at + size], "little")}
    at += size
    if flags & 8:
        values["energy_expended_kj"] = int.from_bytes(data[at : at + 2], "little")
        at += 2
    intervals = [int.from_bytes(data[i : i + 2], "little") for i in range(at, len(data), 2)]
    values["rr_intervals_ms"] = [interval * 1000 / 1024 for interval in intervals]
    return values


async def stream(name: str, address: str, mqtt: aiomqtt.Client, connecting: asyncio.Lock) -> None:
    async def publish(_: Any, data: bytearray) -> None:
        payload = json.dumps({"id": next(NUMBERS), **decode(data)})
        await mqtt.publish(f"healthd/gateway/device/{name}/heart_rate", payload, qos=1)

    def end(ended: asyncio.Event, _: BleakClient) -> None:
        ended.set()

    while True:
        ended = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                async with connecting:
                    if (device := await BleakScanner.find_device_by_address(address)) is None:
                        continue
                    client = BleakClient(device, disconnected_callback=partial(end, ended))
                    await stack.enter_async_context(client)
                await client.start_notify(HEART_RATE, publish)
                await ended.wait()
        except (BleakError, TimeoutError) as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
            await asyncio.sleep(1)


async def main() -> None:
    port, *addresses = sys.argv[1:]
    connecting = asyncio.Lock()
    async with aiomqtt.Client("127.0.0.1", int(port)) as mqtt, asyncio.TaskGroup() as straps:
        for number, address in enumerate(addresses, 1):
            straps.create_task(stream(f"strap-{number}", address, mqtt, connecting))


asyncio.run(main())
