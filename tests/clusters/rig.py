"""A cluster, a gateway that publishes to it, a subscriber on each node, and a recorder."""

import asyncio
import json
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode

from healthd.outbox.outbox import STORE_NAME
from tests.chaos.process import GatewayProcess
from tests.clusters.cluster import Cluster, Node
from tests.clusters.gateway import DEVICES, settings
from tests.clusters.verdict import PROBE, Key, Kill, Verdict, deliveries, judge, made
from tests.support.mosquitto import HOST
from tests.support.polling import connections_of, until
from tests.support.subscriber import Subscriber

_GATEWAY = "gateway"
_STREAMS_S = 90.0
_ARRIVES_S = 60.0
_REQUEST = f"healthd/{_GATEWAY}/request/reconnect"
_RESPONSE = f"healthd/{_GATEWAY}/response/reconnect"
_RETAINED = (
    f"healthd/{_GATEWAY}/status",
    *(f"healthd/{_GATEWAY}/device/{device}/status" for device in DEVICES),
    f"healthd/{_GATEWAY}/device/weight_scale/weight",
)
_RETAINED_S = 3.0
_PROBE_S = 0.5


class Figures(NamedTuple):
    """A row of the table: what one cluster did, as text."""

    cluster: str
    mqtt: str
    acknowledged: str
    lost: str
    lost_by_the_cluster_itself: str
    longest_hole: str
    cluster_itself: str
    late: str
    duplicates: str
    request_answered: str
    retained_on_each_node: str
    to_wildcards: str


class Rig:
    """An async context manager; once entered, all devices stream.

    Attributes:
        gateway: the daemon.
        subscribers: by MQTT port of the node.
    """

    def __init__(self, cluster: Cluster, folder: Path, version: str) -> None:
        """Prepare; ``version`` is of MQTT, for the gateway and the subscribers."""
        self.cluster = cluster
        self.subscribers = {
            node.port: Subscriber(
                node.port,
                f"healthd/{_GATEWAY}/#",
                PROBE,
                name=f"subscriber-{number}",
                version=version,
            )
            for number, node in enumerate(cluster.nodes)
        }
        self._recorder = Subscriber(
            cluster.nodes[-1].port,
            f"healthd/{_GATEWAY}/device/#",
            PROBE,
            name="recorder",
            version=version,
            kept=True,
        )
        self._kills: list[Kill] = []
        self._probes: list[MQTTMessageInfo] = []
        self._version = version
        self._accepted, self._outbox = folder / "accepted", folder / "outbox"
        # Shows the reason of a failure; pytest keeps the folders of its last runs.
        self._log = folder / "gateway.log"
        config = folder / "healthd.toml"
        brokers = [f"{HOST}:{node.port}" for node in cluster.nodes]
        config.write_text(settings(_GATEWAY, brokers, version, self._outbox))
        self.gateway = GatewayProcess(
            ["--config", str(config), "--accepted", str(self._accepted)],
            {"RUNTIME_DIRECTORY": str(folder)},
            "tests.clusters.gateway",
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all."""
        async with AsyncExitStack() as stack:
            for subscriber in (*self.subscribers.values(), self._recorder):
                await stack.enter_async_context(subscriber)
            probing = asyncio.create_task(self._probe(), name="probes")
            stack.callback(probing.cancel)
            await self.gateway.start()
            stack.push_async_callback(self._end)
            await self.streams()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all."""
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def streams(self) -> None:
        """Wait until some subscriber has had a live sample of each device."""

        async def all_stream() -> bool:
            return set(DEVICES) <= {one.peripheral for one in self._received()}

        assert await until(all_stream, _STREAMS_S), self.gateway.log[-20:]

    async def connected_to(self) -> Node:
        """Return the node that the gateway is connected to; wait until it is."""
        by_port = {node.port: node for node in self.cluster.nodes}

        async def is_connected() -> bool:
            return not by_port.keys().isdisjoint(connections_of(self.gateway.pid))

        assert await until(is_connected, _STREAMS_S), self.gateway.log[-20:]
        return next(by_port[port] for port in connections_of(self.gateway.pid) if port in by_port)

    async def kill(self, node: Node) -> None:
        """Kill a node."""
        self._kills.append(Kill(node.port, time.monotonic()))
        await node.kill()

    async def restart(self, node: Node) -> None:
        """Start a node again; return when the cluster is well."""
        await node.start()
        await self.cluster.settled()

    async def answered_s(self) -> float:
        """Send a request from each node until there is a response; return how long that took."""
        started = time.monotonic()

        async def is_answered() -> bool:
            all_ = self.subscribers.values()
            if any(one.at > started for sub in all_ for one in sub.at(_RESPONSE)):
                return True
            for subscriber in all_:
                subscriber.send(_REQUEST, '{"peripheral": "unknown"}')
            return False

        assert await until(is_answered, _STREAMS_S), self.gateway.log[-20:]
        return time.monotonic() - started

    async def retained(self, topic_filter: str | None = None) -> list[int]:
        """Return for each node how many retained messages a new subscriber gets.

        Args:
            topic_filter: what it subscribes to; None: each topic by its name.
        """
        return [await self._retained_at(node.port, topic_filter) for node in self.cluster.nodes]

    async def _retained_at(self, port: int, topic_filter: str | None) -> int:
        wanted = _RETAINED if topic_filter is None else (topic_filter,)
        async with Subscriber(port, *wanted, name="new", version=self._version) as new:

            def kept() -> set[str]:
                return {one.topic for one in new.messages if one.retained} & {*_RETAINED}

            async def all_are_kept() -> bool:
                return len(kept()) == len(_RETAINED)

            await until(all_are_kept, _RETAINED_S)
            return len(kept())

    async def finish(self) -> Verdict:
        """Stop the gateway, wait for what is still on its way, and judge."""

        async def all_delivered() -> bool:
            return not self._held()

        await until(all_delivered, _ARRIVES_S)  # else the verdict says how many are held
        stopped = time.monotonic()
        probes = {
            b"%d" % number
            for number, sent in enumerate(self._probes)
            if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and sent.is_published()
        }
        await self.gateway.stop()
        samples = made(self._accepted.read_text().splitlines())

        async def all_arrived() -> bool:
            return samples.keys() <= self._received() and probes <= self._received_probes()

        await until(all_arrived, _ARRIVES_S)  # the verdict names what is missing
        heard = {port: one.messages for port, one in self.subscribers.items()}
        recorded = self._recorder.messages
        lost_probes = len(probes - self._received_probes())
        return judge(samples, self._held(), heard, recorded, self._kills, stopped, lost_probes)

    async def _probe(self) -> None:
        """Publish from each node, forever.

        This shows how long the cluster itself is silent, and what it loses of what it has
        acknowledged.
        """
        while True:
            await asyncio.sleep(_PROBE_S)
            for subscriber in self.subscribers.values():
                if subscriber.is_connected:
                    self._probes.append(subscriber.send(PROBE, b"%d" % len(self._probes)))

    def _received_probes(self) -> set[bytes]:
        all_ = (*self.subscribers.values(), self._recorder)
        return {
            message.payload for one in all_ for message in one.messages if message.topic == PROBE
        }

    def _received(self) -> set[Key]:
        all_ = (*self.subscribers.values(), self._recorder)
        return {key for one in all_ for key, _, _ in deliveries(one.messages)}

    def _held(self) -> set[Key]:
        """Return the samples of devices that the gateway has stored and not delivered."""
        with closing(sqlite3.connect(self._outbox / STORE_NAME)) as store:
            query = "SELECT peripheral, stream, run, seq FROM pending WHERE peripheral != ''"
            rows = store.execute(query).fetchall()
        return {Key(peripheral, stream, f"{run}-{seq}") for peripheral, stream, run, seq in rows}

    async def _end(self) -> None:
        if self.gateway.is_running:
            await self.gateway.kill(may_have_ended=True)
        lines = [*map(json.dumps, self.gateway.log), *map(str, self._kills)]
        self._log.write_text("\n".join(lines))
