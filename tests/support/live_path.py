"""Takes samples from the live path, as the publisher does to send them."""

import asyncio

from healthd.outbox.live import LivePath
from healthd.outbox.pending import Pending


async def next_pending(live: LivePath) -> Pending:
    """Take the next sample; wait until there is one."""
    while (pending := live.take()) is None:
        arrived, before = asyncio.Event(), live.on_arrival
        live.on_arrival = arrived.set
        try:
            await arrived.wait()
        finally:
            live.on_arrival = before
    return pending
