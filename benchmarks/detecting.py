"""Plain bleak as a process, with a detection callback that counts; see ``foreign``."""

import asyncio
import sys

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from benchmarks.orders import Stopwatch, write_answer


async def _run() -> None:
    loop, reader, heard = asyncio.get_running_loop(), asyncio.StreamReader(), 0
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def detected(_device: BLEDevice, _data: AdvertisementData) -> None:
        nonlocal heard
        heard += 1

    await BleakScanner(detected).start()
    write_answer({"ready": True})
    async for _ in reader:
        write_answer(Stopwatch().answer(heard))


if __name__ == "__main__":
    asyncio.run(_run())
