"""The example of docs/brokers.md: several gateways on one cluster, with the page's own commands."""

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.chaos.process import GatewayProcess
from tests.clusters.cluster import Cluster, output_of
from tests.clusters.rabbitmq import CONFIG, RabbitMq
from tests.clusters.trees import NEW, why_unusable
from tests.support.mosquitto import HOST

PAGE = (Path(__file__).parents[2] / "docs/brokers.md").read_text(encoding="utf-8")
PASSWORD = "secret"
SUBSCRIBE_S = 60.0

STRAP = '[[peripherals]]\nid = "{id}"\naddress = "C0:5E:5E:00:00:01"\n'


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands(program: str) -> Iterator[list[str]]:
    """Generate the arguments of this program's commands on the page."""
    for line in "".join(blocks("sh")).splitlines():
        name, *arguments = shlex.split(line)
        if name == program:
            yield arguments


@pytest.mark.timeout(300)
async def test_two_gateways_share_a_cluster(tmp_path: Path) -> None:
    if (why := why_unusable(NEW)) is not None:
        pytest.skip(f"NOT TESTED: {why}")
    if (mosquitto_sub := shutil.which("mosquitto_sub")) is None:
        pytest.skip(
            "NOT TESTED: no mosquitto_sub on this machine; apt-get install mosquitto-clients"
        )
    (shared := tmp_path / "cluster").mkdir()
    (ini,) = blocks("ini")
    assert {
        line for line in ini.splitlines() if line.startswith(("mqtt.durable", "cluster_p"))
    } <= {*CONFIG.splitlines()}
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(RabbitMq(NEW, shared))
        for arguments in commands("rabbitmqctl"):
            # Without a password on the command line it asks for one.
            password = [PASSWORD] if arguments[0] == "add_user" else []
            await cluster.control(*arguments, *password)
        for block in blocks("toml"):
            await stack.enter_async_context(gateway(block, cluster, tmp_path))
        (arguments,) = commands("mosquitto_sub")
        topics = await received(
            [mosquitto_sub, *filled_in(arguments, cluster), "-C", "20"],
        )
        assert {topic.split("/")[1] for topic in topics} == {"living-room", "gym"}
        port = cluster.nodes[0].port
        assert await is_accepted(port, "gym", "healthd/gym/a")
        assert not await is_accepted(port, "gym", "healthd/living-room/a")


def gateway(block: str, cluster: Cluster, folder: Path) -> "RunningGateway":
    """Return one of the page's gateways, with a simulated strap."""
    (identity,) = re.findall(r'id = "(.*)"', block)
    for number, node in enumerate(cluster.nodes):
        block = block.replace(f"r{number}.lan", f"{HOST}:{node.port}")
    own = folder / identity
    own.mkdir()
    (password := own / "password").write_text(PASSWORD)
    (config := own / "healthd.toml").write_text(
        block.replace("/etc/healthd/mqtt-password", str(password))
        + f'[outbox]\ndirectory = "{own}"\nmax_size = "4MB"\n'
        + STRAP.format(id="strap")
    )
    return RunningGateway(config, own)


class RunningGateway:
    """An async context manager that runs a gateway."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._process = GatewayProcess(
            ["--config", str(config), "--accepted", str(folder / "accepted")],
            {"RUNTIME_DIRECTORY": str(folder)},
            "tests.clusters.gateway",
        )

    async def __aenter__(self) -> None:
        await self._process.start()
        await self._process.logged("connected")

    async def __aexit__(self, *_: object) -> None:
        await self._process.kill(may_have_ended=True)


def filled_in(arguments: list[str], cluster: Cluster) -> list[str]:
    """Return the page's arguments with the node's address and the password."""
    (number,) = [int(one[1]) for one in arguments if re.fullmatch(r"r\d\.lan", one)]
    found = {f"r{number}.lan": HOST, "…": PASSWORD}
    port = ["-p", str(cluster.nodes[number].port)]
    return [*port, *(found.get(one, one) for one in arguments)]


async def is_accepted(port: int, user: str, topic: str) -> bool:
    """Return whether the user may publish at the topic."""
    who = ["-h", HOST, "-p", str(port), "-V", "mqttv5", "-u", user, "-P", PASSWORD]
    code, _ = await output_of(["mosquitto_pub", *who, "-q", "1", "-t", topic, "-m", "1"], {})
    return code == 0


async def received(command: list[str]) -> list[str]:
    """Return the topics that mosquitto_sub prints until it ends."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SUBSCRIBE_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, err
    return [line.split()[0] for line in out.decode().splitlines()]
