"""A NATS cluster with JetStream, which keeps the messages of MQTT."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.clusters.cluster import NODES, Cluster, Node
from tests.clusters.trees import OLD
from tests.support.mosquitto import HOST, free_port
from tests.support.polling import until
from tests.support.trees import SHARED

_HEALTHY_S = 60.0

CONFIG = """\
server_name: n{number}
listen: "{host}:{client}"
http: "{host}:{monitor}"
jetstream {{ store_dir: "{folder}/n{number}", max_mem: 64MB, max_file: 1GB }}
cluster {{ name: healthd, listen: "{host}:{route}", routes: [{routes}] }}
mqtt {{
    listen: "{host}:{mqtt}", stream_replicas: 3, consumer_replicas: 3
    ack_wait: "5s", max_ack_pending: 1000
}}
"""


class Nats(Cluster):
    """Three NATS servers."""

    def __init__(self, suite: str, folder: Path) -> None:
        """Prepare nodes of this Debian release, with their files in ``folder``."""
        super().__init__()
        self.title = "NATS 2.9" if suite == OLD else "NATS 2.15"
        routes = [free_port() for _ in range(NODES)]
        self._monitors = [free_port() for _ in range(NODES)]
        for number in range(NODES):
            command = ["/usr/sbin/nats-server", "-c", f"{SHARED}/n{number}.conf"]
            node = Node(suite, folder, f"n{number}", command, {})
            self.nodes.append(node)
            (folder / f"n{number}.conf").write_text(
                CONFIG.format(
                    number=number,
                    host=HOST,
                    folder=SHARED,
                    client=free_port(),
                    monitor=self._monitors[number],
                    route=routes[number],
                    routes=", ".join(f"nats://{HOST}:{route}" for route in routes),
                    mqtt=node.port,
                )
            )

    async def settled(self) -> None:
        """Wait until all nodes take part in JetStream and have all of every stream."""

        async def is_well() -> bool:
            return await asyncio.to_thread(_are_well, self._monitors)

        assert await until(is_well, _HEALTHY_S), [one.last_words() for one in self.nodes]


def _are_well(monitors: list[int]) -> bool:
    streams, whole = set[str](), set[str]()
    try:
        for number, port in enumerate(monitors):
            # Without its option 2.9 goes on complaining about consumers of clients that have gone.
            _get(port, "healthz?js-server-only=true")
            found = _get(port, "jsz?accounts=true&streams=true")
            for account in found.get("account_details", []):
                for stream in account.get("stream_detail", []):
                    streams.add(str(stream["name"]))
                    # Only its leader knows which of the other nodes have all of a stream.
                    cluster = stream.get("cluster", {})
                    current = [one for one in cluster.get("replicas", []) if one["current"]]
                    if cluster.get("leader") == f"n{number}" and len(current) == NODES - 1:
                        whole.add(str(stream["name"]))
    except OSError:
        return False
    return streams == whole


def _get(port: int, path: str) -> dict[str, Any]:
    with urlopen(f"http://{HOST}:{port}/{path}", timeout=2) as answer:
        return json.load(answer)
