"""Straps to MQTT with bleakheart, as in its examples, and paho with its own thread."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError
from bleakheart import HeartRate
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

Frame = tuple[str, int, tuple[int, list[int]], int | None]


def publish(mqtt: Client, topic: str, frame: Frame) -> None:
    _, time_ns, (rate, intervals), energy = frame
    values = {"time_ns": time_ns, "heart_rate_bpm": rate, "rr_intervals_ms": intervals}
    if energy is not None:
        values["energy_expended_kj"] = energy
    mqtt.publish(topic, json.dumps(values), 1)


async def stream(name: str, address: str, mqtt: Client, connecting: asyncio.Lock) -> None:
    def end(ended: asyncio.Event, _: BleakClient) -> None:
        ended.set()

    topic = f"healthd/gateway/device/{name}/heart_rate"
    while True:
        ended = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                async with connecting:
                    if (device := await BleakScanner.find_device_by_address(address)) is None:
                        continue
                    client = BleakClient(device, disconnected_callback=partial(end, ended))
                    await stack.enter_async_context(client)
                # Without "unpack", which leaves out packets without intervals.
                callback: Any = partial(publish, mqtt, topic)
                await HeartRate(client, callback=callback, unpack=False).start_notify()
                await ended.wait()
        except (BleakError, TimeoutError) as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
            await asyncio.sleep(1)


async def main() -> None:
    port, *addresses = sys.argv[1:]
    mqtt = Client(CallbackAPIVersion.VERSION2)
    mqtt.connect("127.0.0.1", int(port))
    mqtt.loop_start()
    connecting = asyncio.Lock()
    async with asyncio.TaskGroup() as straps:
        for number, address in enumerate(addresses, 1):
            straps.create_task(stream(f"strap-{number}", address, mqtt, connecting))


asyncio.run(main())
