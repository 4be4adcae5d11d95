"""What the daemon leaves out of its process, and that TLS works although OpenSSL is left out."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP, SIGTERM, SIGUSR1
from subprocess import run
from tempfile import TemporaryDirectory

import orjson
import pytest

from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.certificates import Authority, needs_openssl
from tests.support.mosquitto import HOST, Mosquitto, free_port, needs_mosquitto
from tests.support.process import LogLine, clean_environment
from tests.support.subscriber import Received, Subscriber

pytestmark = [needs_dbus, needs_mosquitto, needs_openssl]

BOUND_S = 40.0

SAMPLES = "healthd/gateway/device/strap/heart_rate"

# ``healthd run`` as a process of its own, as other tests fork it from one that has imported
# everything. At SIGUSR1 it prints what it has loaded.
DAEMON = """
import signal, sys
from healthd.cli import main
def loaded(*_):
    from healthd.cli import deferred
    names = (name for name, module in sys.modules.items()
             if module is not None and not isinstance(module, deferred._Deferred))
    print(*names, flush=True)
signal.signal(signal.SIGUSR1, loaded)
main()
"""

# Each with what brings it, and its share of the memory.
NEVER_LOADED = {
    "_hashlib": "OpenSSL's hashes, by hashlib and hmac",
    "email": "by importlib.metadata and http",
    "http.client": "by urllib.request, for proxies in paho",
    "importlib.metadata": "for plugins of pydantic",
    "zipfile": "by importlib.metadata",
    "pyexpat": "by dbus_fast, for descriptions of objects",
    "_ctypes": "by bluetooth_adapters",
    "_pickle": "by structlog, for an error",
    "argparse": "for a command line of one option",
    "typer": "for other commands",
    "healthd.capture": "for files of captures, and to replay them",
    "rich": "by structlog, for a terminal",
    "difflib": "for mistakes in the settings",
    "tempfile": "for commands that write the settings",
    "_decimal": "for models with Decimal",
    "ipaddress": "for models with addresses",
    "pydantic.json_schema": "for healthd schema",
    "sysconfig": "by zoneinfo, for a zone with a name",
    "structlog.stdlib": "for programs that use logging",
    "tokenize": "by inspect and linecache, for traces",
    "base64": "for WebSockets",
    "unicodedata": "for names that are not ASCII",
    "encodings.idna": "by socket, for a host that is not ASCII",
    "pkgutil": "for packages in archives",
    "healthd.outbox.salvage": "for a damaged outbox",
    "healthd.central.survey": "for a scan on request",
    "healthd.gateway.capturing": "for a capture",
    "healthd.traffic": "for a capture",
}
TLS = {"_ssl"}

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["{broker}"]
{tls}
[outbox]
directory = "{folder}/outbox"
max_size = "16MB"
[[peripherals]]
id = "strap"
address = "C0:00:00:00:00:01"
"""


@dataclass
class Daemon:
    """``healthd run`` that was not forked."""

    process: Process

    async def loaded(self) -> set[str]:
        """Return the names of its modules."""
        assert self.process.stdout is not None
        self.process.send_signal(SIGUSR1)
        return set((await self.process.stdout.readline()).decode().split())

    async def logged(self, event: str, **fields: object) -> LogLine:
        """Wait for the next line with this event and at least these fields."""
        assert self.process.stderr is not None
        async for text in self.process.stderr:
            line = orjson.loads(text)
            assert line["event"] not in ("crashed", "failed"), line
            if line["event"] == event and fields.items() <= line.items():
                return line
        raise AssertionError(f"it ended without {event}")


@dataclass
class Place:
    """A strap, a broker with and without TLS, and the settings."""

    broker: Mosquitto
    tls_port: int
    authority: Authority
    subscriber: Subscriber
    config: Path
    environ: dict[str, str]

    def configure(self, *, tls: bool) -> None:
        """Write the settings."""
        if tls:
            broker = f"localhost:{self.tls_port}"
            keys = f'tls = true\nca_file = "{self.authority.certificate}"'
        else:
            broker, keys = self.broker.address, ""
        folder = self.config.parent
        self.config.write_text(SETTINGS.format(broker=broker, tls=keys, folder=folder))

    @asynccontextmanager
    async def daemon(self) -> AsyncGenerator[Daemon]:
        """Run the daemon."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DAEMON, "run", "--config", str(self.config)),
            stdout=PIPE,
            stderr=PIPE,
            env=clean_environment() | self.environ,
            limit=1 << 20,
        )
        try:
            async with asyncio.timeout(BOUND_S):
                yield Daemon(process)
                process.send_signal(SIGTERM)
                assert await process.wait() == 0
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def more_samples(self) -> None:
        """Wait for new samples."""
        since = len(self.subscriber.at(SAMPLES))

        def enough(messages: list[Received]) -> bool:
            return sum(message.topic == SAMPLES for message in messages) >= since + 3

        await self.subscriber.until(enough, at_most=BOUND_S)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    authority, tls_port = Authority(tmp_path, "authority"), free_port()
    certificate, key = authority.issue("localhost")
    options = (
        f"listener {tls_port} {HOST}\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true"
    )
    with TemporaryDirectory(prefix="bus-") as folder:
        async with (
            Bus(Path(folder)) as bus,
            Mosquitto(tmp_path, f"allow_anonymous true\n{options}") as broker,
            BlueZ(bus, strap(), adapters={"hci0": True}),
            Subscriber(broker.port) as subscriber,
        ):
            environ = {
                "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
                "RUNTIME_DIRECTORY": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            config = tmp_path / "healthd.toml"
            yield Place(broker, tls_port, authority, subscriber, config, environ)


async def test_without_tls_neither_openssl_nor_what_is_never_used_is_loaded(place: Place) -> None:
    place.configure(tls=False)
    async with place.daemon() as daemon:
        await place.more_samples()
        # A lost broker is a fault that could be one of TLS.
        await place.broker.kill()
        await daemon.logged("retrying", service="mqtt", reason="broker_unreachable")
        await place.broker.start()
        await daemon.logged("connected")
        await place.more_samples()
        loaded = await daemon.loaded()
    assert loaded >= {"bleak", "dbus_fast", "aiomqtt", "pydantic", "structlog", "asyncio"}
    assert loaded & (NEVER_LOADED.keys() | TLS) == set()


async def test_with_tls_samples_arrive(place: Place) -> None:
    place.configure(tls=True)
    async with place.daemon() as daemon:
        await place.more_samples()
        loaded = await daemon.loaded()
    assert loaded >= TLS
    assert loaded & NEVER_LOADED.keys() == set()


async def test_a_reload_brings_the_first_broker_with_tls_and_takes_it_away(place: Place) -> None:
    place.configure(tls=False)
    async with place.daemon() as daemon:
        await daemon.logged("connected", broker=place.broker.address)
        await place.more_samples()
        assert not TLS & await daemon.loaded()
        for tls in (True, False, True):
            place.configure(tls=tls)
            daemon.process.send_signal(SIGHUP)
            port = place.tls_port if tls else place.broker.port
            line = await daemon.logged("connected")
            assert line["broker"].endswith(f":{port}")
            await place.more_samples()
        assert await daemon.loaded() >= TLS


# Decimal, for example, is not the class that pydantic knows then.
EVERYTHING = """
import importlib
from pathlib import Path
from healthd.cli import _load_little
_load_little()
import healthd
root = Path(healthd.__path__[0])
for file in sorted(root.rglob("*.py")):
    package, *rest = file.relative_to(root).with_suffix("").parts
    if package not in ("cli", "simulator", "doctor", "backfill") and "__" not in file.stem:
        importlib.import_module(".".join(("healthd", package, *rest)))
from pydantic import BaseModel
def models(base):
    for each in base.__subclasses__():
        yield each
        yield from models(each)
ours = [each for each in models(BaseModel) if each.__module__.startswith("healthd.")]
for each in ours:
    each.model_rebuild(force=True)
print(len(ours))
"""


def test_every_model_can_be_built_in_the_process_of_the_daemon() -> None:
    made = run(
        [sys.executable, "-c", EVERYTHING], capture_output=True, text=True, env=clean_environment()
    )
    assert made.returncode == 0, made.stderr
    assert int(made.stdout) > 100
