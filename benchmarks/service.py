"""``healthd run`` with its own D-Bus and a fake bluetoothd: memory, start, recovery, idle CPU."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Budget, Effort, Figure, NotMeasured
from benchmarks.importing import Importing
from benchmarks.launched import Launched
from benchmarks.proc import cpu_s, resident_mb
from benchmarks.stage import Stage
from benchmarks.trees import WORKING, Tree
from tests.support.bluez import DBUS_DAEMON, PERIOD_S, BlueZ, Bus, strap
from tests.support.certificates import OPENSSL, Authority
from tests.support.mosquitto import free_port
from tests.support.subscriber import Received, Subscriber

# The libraries as the daemon loads them: pydantic loads most of itself with the first model, and
# structlog does not find rich.
BARE_IMPORTS = """
import sys
sys.modules["rich"] = None
import aiomqtt, bleak_retry_connector, orjson, pydantic, sqlite3, structlog
class Model(pydantic.BaseModel):
    field: int
"""

# Rounds of the fake bluetoothd in a second; a round is 50 ms.
ONCE_A_SECOND = 20

# After the first sample of the last strap: by then memory that only the start needs is freed.
_SETTLED_S = 5.0
_REST_S = 30.0

_SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
{mqtt}
[bluetooth]
slots = 64
[outbox]
directory = "{folder}/outbox"
max_size = {max_size}
"""
_STRAP = """
[[peripherals]]
id = "strap-{number}"
address = "{address}"
"""


@dataclass
class Setup:
    """Everything except healthd.

    Attributes:
        bluez: a fake bluetoothd with the straps.
        subscriber: receives every sample.
        straps: number of straps.
        config: the settings file.
        environ: environment variables for healthd.
        port: of the broker, without TLS.
        addresses: of the straps.
    """

    bluez: BlueZ
    subscriber: Subscriber
    straps: int
    config: Path
    environ: dict[str, str]
    port: int
    addresses: list[str]

    def healthd(self, tree: Tree = WORKING) -> Launched:
        """Return a tree's daemon, not started yet."""
        return Launched(tree, "run", "--config", str(self.config), environ=self.environ)

    def samples(self) -> int:
        """Return how many samples have arrived until now."""
        return sum(one.topic.endswith("/heart_rate") for one in self.subscriber.messages)

    async def until_streaming(self) -> None:
        """Wait for a new sample of every strap."""
        since = len(self.subscriber.messages)

        def all_of_them(messages: list[Received]) -> bool:
            new = {one.topic for one in messages[since:] if one.topic.endswith("/heart_rate")}
            return len(new) == self.straps

        await self.subscriber.until(all_of_them, at_most=60)


@asynccontextmanager
async def prepared(
    straps: int,
    *,
    every: int = 1,
    period_s: float = PERIOD_S,
    apart: bool = False,
    max_size: int = 4_000_000,
    entries: str = "",
    tls: bool = False,
) -> AsyncGenerator[Setup]:
    """Run everything except healthd.

    Args:
        straps: their number.
        every: each strap notifies in every ``every``-th round.
        period_s: length of a round in seconds.
        apart: straps notify one after another, not all in the same round.
        max_size: quota of the outbox, in bytes.
        entries: more peripherals, as in the settings.
        tls: healthd talks to the broker with TLS.
    """
    if DBUS_DAEMON is None:
        raise NotMeasured("no dbus-daemon on this machine: apt-get install dbus")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="healthd-bench-")))
        runtime = stack.enter_context(TemporaryDirectory(prefix="healthd-bench-", dir="/dev/shm"))
        broker, mqtt = _with_tls(folder) if tls else ("", "")
        stage = await stack.enter_async_context(Stage(tap=False, bound=False, broker=broker))
        mqtt = mqtt or f'brokers = ["127.0.0.1:{stage.broker.port}"]'
        bus = await stack.enter_async_context(Bus(folder))
        addresses = [f"C0:00:00:00:00:{number:02X}" for number in range(1, straps + 1)]
        devices = [strap(address) for address in addresses]
        bluez = BlueZ(
            bus,
            *devices,
            adapters={"hci0": True},
            notify_every=every,
            period_s=period_s,
            apart=apart,
        )
        await stack.enter_async_context(bluez)
        subscriber = await stack.enter_async_context(Subscriber(stage.broker.port))
        config = folder / "healthd.toml"
        blocks = [_STRAP.format(number=n, address=one) for n, one in enumerate(addresses)]
        text = _SETTINGS.format(mqtt=mqtt, folder=folder, max_size=max_size)
        config.write_text(text + "".join(blocks) + entries)
        environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address, "RUNTIME_DIRECTORY": runtime}
        yield Setup(bluez, subscriber, straps, config, environ, stage.broker.port, addresses)


def _with_tls(folder: Path) -> tuple[str, str]:
    """Return a second listener for mosquitto, and the settings with which healthd uses it."""
    if OPENSSL is None:
        raise NotMeasured("no openssl on this machine: apt-get install openssl")
    authority, port = Authority(folder, "authority"), free_port()
    certificate, key = authority.issue("localhost")
    listener = f"listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}"
    mqtt = f'brokers = ["localhost:{port}"]\ntls = true\nca_file = "{authority.certificate}"'
    return listener, mqtt


async def _bare() -> tuple[float, float]:
    """Return megabytes and CPU seconds of a Python that has imported healthd's libraries alone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{BARE_IMPORTS}\nprint(flush=True)\ninput()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    resident, spent_s = resident_mb(process.pid), cpu_s(process.pid)
    process.kill()
    await process.wait()
    return resident, spent_s


async def import_s(tree: Tree) -> float:
    """Return the CPU seconds of all imports of a tree's daemon until a strap streams."""
    async with prepared(1) as setup:
        with Importing() as importing:
            process = Launched(
                tree,
                *("run", "--config", str(setup.config)),
                program=importing.program,
                environ=setup.environ,
                descriptors=(importing.descriptor,),
            )
            async with process:
                await setup.until_streaming()
                return importing.seconds()


async def memory(effort: Effort) -> list[Figure]:
    """Measure resident memory with 0, 8 and 32 straps; the floor is the imports alone."""
    figures: list[Figure] = []
    for straps in (0, 8, 32):
        budget = Budget(45) if straps == 8 else None
        figure = Figure(f"resident memory of healthd run, {straps} straps", "MB", budget=budget)
        for _ in range(effort.rounds):
            async with prepared(straps) as setup, setup.healthd() as healthd:
                await healthd.logged("connected")
                await setup.until_streaming()
                await asyncio.sleep(effort.seconds(_SETTLED_S))
                figure.product.append(resident_mb(healthd.pid))
            resident, _ = await _bare()
            figure.floor.append(resident)
        figures.append(figure)
    return figures


async def start(effort: Effort) -> list[Figure]:
    """Measure from the command to the first sample, and the share of the imports."""
    first = Figure("start to first sample at a subscriber, 1 strap", "s")
    imports = Figure("import of everything that `run` needs, CPU", "s")
    imports.note = "the floor, here and above, is a Python that imports the libraries alone, CPU"
    for _ in range(effort.rounds):
        async with prepared(1) as setup:
            began = time.monotonic()
            async with setup.healthd():
                await setup.until_streaming()
                first.product.append(time.monotonic() - began)
        imports.product.append(await import_s(WORKING))
        _, bare_s = await _bare()
        imports.floor.append(bare_s)
        first.floor.append(bare_s)
    return [first, imports]


async def rest(effort: Effort) -> list[Figure]:
    """Measure CPU with 8 straps that send once a second, D-Bus included."""
    figure = Figure("CPU with 8 straps × 1 Hz, D-Bus included", "% of a core")
    async with (
        prepared(8, every=ONCE_A_SECOND, apart=True) as setup,
        setup.healthd() as healthd,
    ):
        await setup.until_streaming()
        for _ in range(effort.rounds):
            before, began = cpu_s(healthd.pid), time.monotonic()
            await asyncio.sleep(effort.seconds(_REST_S / effort.rounds))
            spent_s = cpu_s(healthd.pid) - before
            figure.product.append(spent_s / (time.monotonic() - began) * 100)
    return [figure]


async def recovery(effort: Effort) -> list[Figure]:
    """Measure how soon samples arrive again after a link, or all of bluetoothd, was lost."""
    link = Figure("link lost to streaming again, strap advertising", "s", budget=Budget(1.5))
    all_ = Figure("bluetoothd restarted to all of 8 streams back", "s", budget=Budget(3))
    async with prepared(8) as setup, setup.healthd() as healthd:
        await setup.until_streaming()
        for _ in range(effort.rounds):
            began = time.monotonic()
            await setup.bluez.do("unlink", address="C0:00:00:00:00:01")
            await healthd.logged("retrying")
            healthd.log.clear()
            await setup.until_streaming()
            link.product.append(time.monotonic() - began)
            # A link that lasted for three seconds is restored at once, like a real one.
            await asyncio.sleep(_SETTLED_S)
        for _ in range(effort.rounds):
            await setup.bluez.kill()
            await healthd.logged("adapter", change="bluez_gone")
            healthd.log.clear()
            await setup.bluez.start()
            began = time.monotonic()
            await setup.until_streaming()
            all_.product.append(time.monotonic() - began)
            await asyncio.sleep(_SETTLED_S)
    return [link, all_]
