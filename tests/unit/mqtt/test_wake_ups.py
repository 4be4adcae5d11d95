"""The timer that reads acknowledgements which have stayed in the socket."""

import asyncio
import socket

import pytest

from healthd.mqtt import wake_ups
from healthd.mqtt.wake_ups import WakeUps

BOUND_S = 20.0


async def test_the_timer_is_put_off_while_everything_is_read_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wake_ups, "LATEST_S", 0.3)
    fired = asyncio.Event()
    count = 0

    def read() -> bool:
        nonlocal count
        count += 1
        fired.set()
        return True

    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        limit = WakeUps(read)
        limit.use(one, 20, is_encrypted=False)
        limit.put_off()
        # On a machine that stands still the timer is due.
        stalls, last = 0, loop.time()
        ends_at = last + 1.0
        while last < ends_at:
            await asyncio.sleep(0.01)
            now = loop.time()
            stalls += now - last > 0.2
            last = now
            limit.postpone()
        assert count <= stalls
        fired.clear()
        async with asyncio.timeout(BOUND_S):
            await fired.wait()
        limit.restore()


async def test_without_a_timer_nothing_is_put_off() -> None:
    one, other = socket.socketpair()
    with one, other:
        limit = WakeUps(lambda: True)
        limit.use(one, 20, is_encrypted=False)
        limit.postpone()
        assert not limit.are_rare
