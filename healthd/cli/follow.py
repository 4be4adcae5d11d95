"""Subscribes to a gateway's topics and shows what arrives, across lost connections."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from healthd.cli.view import View
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient, Endpoint
from healthd.supervision.supervisor import Supervisor


async def follow(endpoint: Endpoint, topic_filter: str, view: View, stop: asyncio.Event) -> None:
    """Show messages until ``stop`` is set; a broker that is away is waited for.

    Args:
        endpoint: the broker.
        topic_filter: what to subscribe to.
        view: where messages are shown.
        stop: ends it.
    """

    async def listen(mark_healthy: Callable[[], None]) -> None:
        async with (
            AckedClient(endpoint) as client,
            aclosing(client.listen(topic_filter)) as messages,
        ):
            mark_healthy()
            async for message in messages:
                view.show(message)

    log = get_logger(service="watch")
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(Supervisor(random.Random()).keep(listen, log))
        await stop.wait()
        following.cancel()
