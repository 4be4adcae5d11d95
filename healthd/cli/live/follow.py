"""Subscribe to topics and show the messages, and reconnect when the connection is lost."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from healthd.cli.live.view import ReaderGone, View
from healthd.errors import Transient
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.incoming import LARGEST_PACKET
from healthd.supervision.supervisor import Supervisor

# There is no other broker to try: a slow one gets more time than it has in the daemon's list.
_TIMEOUT_S = 10.0


async def follow(endpoint: Endpoint, topic_filter: str, view: View, stop: asyncio.Event) -> None:
    """Show messages until ``stop`` is set or the reader of the output is gone.

    Retry while the broker is unreachable.

    Args:
        endpoint: the broker.
        topic_filter: what to subscribe to.
        view: shows the messages.
        stop: ends it.
    """

    async def listen(mark_healthy: Callable[[], None]) -> None:
        try:
            async with (
                AckedClient(
                    endpoint, timeout_s=_TIMEOUT_S, longest_payload=LARGEST_PACKET
                ) as client,
                aclosing(client.listen(topic_filter)) as messages,
            ):
                mark_healthy()
                view.set_broker_fault(None)
                async for message in messages:
                    view.show(message)
        except Transient as fault:
            view.set_broker_fault(str(fault))
            raise
        except ReaderGone:
            return

    log = get_logger(service="watch")
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(
            Supervisor(random.Random()).keep(listen, log), name="follow-broker"
        )
        stopping = tasks.create_task(stop.wait(), name="follow-stop")
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
        stopping.cancel()
