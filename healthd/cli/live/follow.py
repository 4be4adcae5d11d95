"""Subscribes to a gateway's topics and shows what arrives, across lost connections."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from healthd.cli.live.view import Unread, View
from healthd.errors import Transient
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint
from healthd.supervision.supervisor import Supervisor


async def follow(endpoint: Endpoint, topic_filter: str, view: View, stop: asyncio.Event) -> None:
    """Show messages until ``stop`` is set or nobody reads them any more.

    A broker that is away is waited for.

    Args:
        endpoint: the broker.
        topic_filter: what to subscribe to.
        view: where messages are shown.
        stop: ends it.
    """

    async def listen(mark_healthy: Callable[[], None]) -> None:
        try:
            async with (
                AckedClient(endpoint) as client,
                aclosing(client.listen(topic_filter)) as messages,
            ):
                mark_healthy()
                view.on_broker(None)
                async for message in messages:
                    view.show(message)
        except Transient as fault:
            view.on_broker(str(fault))
            raise
        except Unread:
            return

    log = get_logger(service="watch")
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(Supervisor(random.Random()).keep(listen, log))
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
        stopping.cancel()
