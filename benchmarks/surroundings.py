"""What ``healthd run`` needs around it: a broker, a D-Bus with a fake bluetoothd, a subscriber."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import NotMeasured
from benchmarks.launched import Launched
from benchmarks.stage import Stage
from benchmarks.trees import WORKING, Tree
from tests.support.bluez import DBUS_DAEMON, PERIOD_S, BlueZ, Bus, strap
from tests.support.certificates import OPENSSL, Authority
from tests.support.mosquitto import free_port
from tests.support.subscriber import Received, Subscriber

# Rounds of the fake bluetoothd in a second; a round is 50 ms.
ONCE_A_SECOND = 20

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
