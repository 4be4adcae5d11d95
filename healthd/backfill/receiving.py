"""Takes samples from the broker into the store; the broker keeps the session meanwhile."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from healthd.backfill.reading import LeftOut, Reader, Reading
from healthd.backfill.store import Store
from healthd.errors import Transient
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import RETRY, SubscribeRefused

# There is no other broker to try.
_TIMEOUT_S = 10.0

# A clock that is not synchronised leaves out every sample: one line an hour reports it.
_REPEATED_AFTER_S = 3600.0


class LeftOuts:
    """Counts the samples that belong to no hour, and logs why."""

    def __init__(self) -> None:
        """Start without any."""
        self._counts: dict[tuple[str, str, str], int] = {}
        self._logged_at: dict[tuple[str, str, str], float] = {}
        self._log = get_logger(service="hass-backfill")

    def add(self, sample: LeftOut) -> None:
        """Count a sample."""
        key = sample.place.peripheral, sample.place.stream, sample.reason
        self._counts[key] = self._counts.get(key, 0) + 1

    def log(self) -> None:
        """Log what was counted: at once for a new reason, hourly for others."""
        now = time.monotonic()
        for key in list(self._counts):
            if now - self._logged_at.get(key, -_REPEATED_AFTER_S) >= _REPEATED_AFTER_S:
                peripheral, stream, reason = key
                self._logged_at[key] = now
                self._log.warning(
                    "samples left out",
                    peripheral=peripheral,
                    stream=stream,
                    reason=reason,
                    count=self._counts.pop(key),
                )


class Receiver:
    """One subscription with a session of its own.

    Attributes:
        subscribed: set once the broker has accepted the subscription.
        received: set whenever messages have arrived.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        topic_filter: str,
        store: Store,
        reader: Reader,
        left_out: LeftOuts,
        *,
        durable: bool,
    ) -> None:
        """Prepare.

        Args:
            endpoint: the broker, with the client id of the session.
            topic_filter: what to subscribe to.
            store: takes the samples; a message is acknowledged after that.
            reader: reads them.
            left_out: counts those that are not taken.
            durable: whether a sample must survive a power cut once it is acknowledged.
        """
        self.subscribed = asyncio.Event()
        self.received = asyncio.Event()
        self._endpoint = endpoint
        self._filter = topic_filter
        self._store = store
        self._reader = reader
        self._left_out = left_out
        self._durable = durable
        self._log = get_logger(service="hass-backfill", topics=topic_filter)

    async def run(self, mark_healthy: Callable[[], None] = lambda: None) -> None:
        """Take what arrives until the connection ends.

        Raises:
            Transient: the connection ended.
        """
        async with AckedClient(self._endpoint, timeout_s=_TIMEOUT_S) as client:
            self._note_session(client)
            try:
                await client.subscribe_to(self._filter)
            except SubscribeRefused as error:
                raise Transient(
                    "refused", f"subscription to {self._filter} refused: {error}", RETRY
                ) from error
            mark_healthy()
            self.subscribed.set()
            self._log.info("connected", broker=client.address)
            async for batch in client.batches():
                self._store.add(self._readings(batch), durable=self._durable)
                self.received.set()
                if client.dropped:
                    raise Transient("overrun", "more messages than fit into memory", RETRY)

    def _note_session(self, client: AckedClient) -> None:
        name = f"{client.address} {self._endpoint.client_id}"
        if self._store.note_session(name) and not client.resumed:
            self._log.warning(
                "session lost",
                broker=client.address,
                error="the broker has not kept messages since the last connection",
                hint="samples that it delivered to others meanwhile are missing in the statistics; "
                "docs/backfill.md shows how brokers keep sessions",
            )

    def _readings(self, messages: Iterable[Message]) -> Iterator[Reading]:
        for message in messages:
            try:
                reading = self._reader.read(message)
            except LeftOut as sample:
                self._left_out.add(sample)
            else:
                if reading is not None:
                    yield reading
