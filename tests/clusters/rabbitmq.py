"""A RabbitMQ cluster with the MQTT plugin."""

import secrets
from contextlib import AsyncExitStack
from pathlib import Path

from tests.clusters.cluster import NODES, Cluster, Node, output_of
from tests.clusters.trees import NEW, tree
from tests.support.mosquitto import HOST, free_port
from tests.support.trees import SHARED, inside

CONFIG = """\
mqtt.listeners.tcp.1 = {host}:{mqtt}
mqtt.allow_anonymous = true
mqtt.durable_queue_type = quorum
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = r0@localhost
cluster_formation.classic_config.nodes.2 = r1@localhost
cluster_formation.classic_config.nodes.3 = r2@localhost
log.console = true
log.file = false
disk_free_limit.absolute = 50MB
{anonymous}
"""
# Whose rights a client without a user name has.
_ANONYMOUS_OLD = "mqtt.default_user = guest\nmqtt.default_pass = guest"
_ANONYMOUS_NEW = "anonymous_login_user = guest\nanonymous_login_pass = guest"


class RabbitMq(Cluster):
    """Three RabbitMQ nodes, and the epmd that they find each other with."""

    def __init__(self, suite: str, folder: Path) -> None:
        """Prepare nodes of this Debian release, with their files in ``folder``."""
        super().__init__()
        new = suite == NEW
        self.title = "RabbitMQ 4.3" if new else "RabbitMQ 3.10"
        self.version = "5" if new else "3.1.1"
        # The Raft group of client ids of 3.10 hangs if empty nodes join it at the same time.
        self.one_by_one = not new
        self._suite, self._folder, self._epmd_port = suite, folder, free_port()
        versions = tree(suite).glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
        self._programs = f"/usr/lib/rabbitmq/lib/{max(one.name for one in versions)}/sbin"
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        for number in range(NODES):
            environ = self._environ(number)
            server = f"{self._programs}/rabbitmq-server"
            node = Node(suite, folder, f"r{number}", [server], environ)
            self.nodes.append(node)
            config = CONFIG.format(
                host=HOST, mqtt=node.port, anonymous=_ANONYMOUS_NEW if new else _ANONYMOUS_OLD
            )
            (folder / f"r{number}.conf").write_text(config)

    async def prepare(self, stack: AsyncExitStack) -> None:
        """Start epmd on its own: started by a node, it would die with that node."""
        epmd = ["/usr/bin/epmd", "-address", HOST, "-port", str(self._epmd_port)]
        node = Node(self._suite, self._folder, "epmd", epmd, {})
        node.port = self._epmd_port
        await stack.enter_async_context(node)

    async def settled(self) -> None:
        """Wait until all three nodes are members of the cluster and run."""
        await self.control("await_online_nodes", str(NODES))

    async def control(self, *arguments: str) -> str:
        """Run rabbitmqctl; return what it wrote."""
        command = [f"{self._programs}/rabbitmqctl", "-n", "r0@localhost", *arguments]
        entered = inside(tree(self._suite), self._folder, *command)
        code, out = await output_of(entered, self._environ(0))
        assert code == 0, (arguments, out)
        return out

    def _environ(self, number: int) -> dict[str, str]:
        return {
            "HOME": SHARED,
            "RABBITMQ_NODENAME": f"r{number}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(free_port()),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_MNESIA_BASE": f"{SHARED}/data",
            "RABBITMQ_LOG_BASE": f"{SHARED}/log",
            "RABBITMQ_CONFIG_FILE": f"{SHARED}/r{number}.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{SHARED}/plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{SHARED}/none",
            # One scheduler that sleeps when idle: three nodes share this machine with the test.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
            ),
        }
