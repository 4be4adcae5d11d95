"""The product as a process: the whole daemon on a fake radio; see ``orders``."""

import asyncio
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from benchmarks.orders import WINDOW, Answer, Order, Stopwatch, arguments, schedule, write_answer
from benchmarks.radio import FakeRadio
from healthd.central import door
from healthd.cli.run import until_signal
from healthd.gateway.daemon import Daemon
from healthd.log import configure
from healthd.outbox.live import LivePath
from healthd.outbox.pending import Pending
from healthd.profiles import registry
from healthd.settings.model import Settings

# A packet of a strap with one beat: contact detected, 72 bpm, one RR interval of 832 ms.
VALUE = struct.pack("<BBH", 0x16, 72, 852)

_STALLED_S = 0.2


class Driver:
    """Makes straps notify, and knows when their samples are at the broker or on disk."""

    def __init__(self, radio: FakeRadio, live: LivePath) -> None:
        """Wrap the live path to see every acknowledgement."""
        self._radio = radio
        self._live = live
        self._acknowledge = live.acknowledge
        self._on_acked: Callable[[], None] = _nothing
        # The live path's own method still does the work.
        setattr(live, "acknowledge", self._tapped)  # noqa: B010 (pyright: a method is no variable)

    def _tapped(self, pending: Pending) -> None:
        self._acknowledge(pending)
        self._on_acked()

    def _notify(self, strap: int) -> None:
        self._radio.listeners[self._radio.addresses[strap]](bytearray(VALUE))

    async def obey(self, order: Order) -> Answer:
        """Carry out an order; return its cost."""
        match order.pop("do"):
            case "burst":
                return await self._burst(**order)
            case "pace":
                return await self._pace(**order)
            case unknown:
                raise ValueError(unknown)

    async def _burst(self, count: int, window: int = WINDOW) -> Answer:
        fed, watch = asyncio.Event(), Stopwatch()
        straps, sent = len(self._radio.addresses), 0

        def feed() -> None:
            nonlocal sent
            while sent < count and len(self._live) < window:
                self._notify(sent % straps)
                sent += 1
            if sent == count:
                fed.set()

        self._on_acked = feed
        feed()
        while not fed.is_set():
            # If the machine stalls for a second, all samples may go to disk, without a PUBACK.
            with suppress(TimeoutError):
                async with asyncio.timeout(_STALLED_S):
                    await fed.wait()
            feed()
        self._on_acked = _nothing
        await self._live.settled()
        return watch.answer(count)

    async def _pace(self, hz: float, seconds: float, *, wait: bool = True) -> Answer:
        """Send at a pace; with ``wait``, return once all samples are at the broker or on disk."""
        loop, watch = asyncio.get_running_loop(), Stopwatch()
        start, count = loop.time(), 0
        for due_s, strap in schedule(len(self._radio.addresses), hz, seconds):
            if (left_s := start + due_s - loop.time()) > 0:
                await asyncio.sleep(left_s)
            self._notify(strap)
            count += 1
        if wait:
            await self._live.settled()
        return watch.answer(count)


def _nothing() -> None:
    pass


async def _orders(driver: Driver, ready: Callable[[], bool], stop: asyncio.Event) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while not ready():  # noqa: ASYNC110 - nothing is measured yet
        await asyncio.sleep(0.01)
    write_answer({"ready": True})
    async for line in reader:
        write_answer(await driver.obey(orjson.loads(line)))
    stop.set()


def settings_for(
    port: int, folder: str, max_size: str, peripherals: int, gateway: str | None = None
) -> dict[str, Any]:
    """Return settings with straps by address and a broker on this host."""
    entries = [{"id": f"strap-{n}", "address": _address(n)} for n in range(peripherals)]
    # Between two orders no strap notifies, which is not a fault here.
    entries = [{**entry, "silence": "1h"} for entry in entries]
    return {
        "gateway": {"id": gateway or f"bench-{peripherals}"},
        "mqtt": {"brokers": [f"127.0.0.1:{port}"]},
        "bluetooth": {"slots": max(peripherals, 1)},
        "outbox": {"directory": folder, "max_size": max_size},
        "log": {"level": "warning"},
        "peripherals": entries,
    }


def _address(number: int) -> str:
    return f"C0:00:00:00:00:{number + 1:02X}"


def _open_the_door() -> None:
    """Let a link send more than its share: a few straps stand for very many."""
    door.SHARE = door.Share(1e9, 1e9, 1e12, 1e12)


def main() -> int:
    """Run until standard input ends."""
    parsed = arguments("product")
    raw = settings_for(
        parsed.port, parsed.folder, parsed.max_size, parsed.peripherals, parsed.gateway
    )
    settings = Settings.model_validate(raw)
    configure(settings.log.level)
    _open_the_door()

    async def body(stop: asyncio.Event) -> None:
        radio = FakeRadio([_address(n) for n in range(parsed.peripherals)])
        daemon = Daemon(settings, registry.load(), os.environ, radio.backends)
        driver = Driver(radio, daemon._outbox.live)  # pyright: ignore[reportPrivateUsage]
        orders = asyncio.create_task(
            _orders(driver, lambda: len(radio.listeners) == parsed.peripherals, stop)
        )
        try:
            await daemon.run(stop)
        finally:
            orders.cancel()

    return until_signal(body)


if __name__ == "__main__":
    sys.exit(main())
