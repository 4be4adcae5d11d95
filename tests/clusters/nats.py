"""A NATS cluster with JetStream, which keeps the messages of MQTT."""

import asyncio
from pathlib import Path
from urllib.request import urlopen

from tests.clusters.cluster import NODES, Cluster, Node
from tests.clusters.polling import until
from tests.clusters.trees import OLD, SHARED
from tests.support.mosquitto import HOST, free_port

_HEALTHY_S = 60.0

CONFIG = """\
server_name: n{number}
listen: "{host}:{client}"
http: "{host}:{monitor}"
jetstream {{ store_dir: "{folder}/n{number}", max_mem: 64MB, max_file: 1GB }}
cluster {{ name: healthd, listen: "{host}:{route}", routes: [{routes}] }}
mqtt {{ listen: "{host}:{mqtt}", stream_replicas: 3, consumer_replicas: 3 }}
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
        """Wait until every node takes part in JetStream."""

        async def all_take_part() -> bool:
            answers = [asyncio.to_thread(_takes_part, one) for one in self._monitors]
            return all(await asyncio.gather(*answers))

        assert await until(all_take_part, _HEALTHY_S), [one.last_words() for one in self.nodes]


def _takes_part(port: int) -> bool:
    # Without this option 2.9 goes on complaining about consumers of clients that have gone.
    query = "js-server-only=true"
    try:
        with urlopen(f"http://{HOST}:{port}/healthz?{query}", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
