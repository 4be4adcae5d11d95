"""Run a temporary MQTT broker: mosquitto if it is installed, otherwise iotcore."""

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

Kind = Literal["mosquitto", "iotcore"]

HOST = "127.0.0.1"
# Debian installs servers in directories that are not in the PATH of a normal user.
_SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
# A port that was free when it was chosen may be in use when the broker opens it.
_ATTEMPTS = 3
# iotcore starts its own Python and loads its own wheel, which is slow on a small board.
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
# The interval between connection attempts to a starting broker; mosquitto needs one or two.
_RETRY_S = 0.02

_MOSQUITTO_CONFIG = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
# By default, what a slow subscriber has not read is dropped after 1,000 messages.
max_queued_messages 100000
connection_messages false
log_dest stderr
log_type error
log_type warning
{user}
"""

# Without a configuration iotcore serves MQTT 3.1.1 only, and listens on all interfaces. A rumqttd
# port supports one version: this one supports MQTT 5, so a client of 3.1.1 needs mosquitto.
_IOTCORE_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "healthd"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
"""

# iotcore serves until it is killed. It must also end if this process dies before it can kill it:
# the pipe to its standard input is then closed in any case.
_IOTCORE_PROGRAM = """\
import os, sys, threading
from iotcore.__main__ import main

def watch():
    os.read(0, 1)
    os._exit(0)

threading.Thread(target=watch, daemon=True).start()
main(sys.argv[1:])
"""


class BrokerError(Exception):
    """The broker is not installed, or did not start; the message contains the reason."""


class EmbeddedBroker:
    """A broker for this host only, without passwords or persistence; an async context manager.

    Attributes:
        host: The address on which it listens.
        port: A free port, chosen when the context is entered.
        kind: The broker program.
    """

    def __init__(self, kind: Kind | None = None) -> None:
        """Choose a broker.

        Args:
            kind: The broker to use; by default the first installed one.

        Raises:
            BrokerError: The broker is not installed.
        """
        self.host = HOST
        self.port = 0
        self.kind: Kind = kind or ("mosquitto" if _mosquitto() else "iotcore")
        if not (_mosquitto() if self.kind == "mosquitto" else importlib.util.find_spec("iotcore")):
            raise BrokerError(
                f"{self.kind} is not installed: install the package mosquitto, "
                "or healthd with the extra [sim]"
            )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the broker, and return when it accepts connections.

        Raises:
            BrokerError: The broker did not start.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            async with AsyncExitStack() as stack:
                self.port = _free_port()
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="healthd-broker-")))
                try:
                    await self._start(stack, directory)
                except BrokerError:
                    if attempt == _ATTEMPTS:
                        raise
                else:
                    self._stack = stack.pop_all()
                    break
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the broker, and remove its files."""
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack, directory: Path) -> None:
        config = directory / "broker.toml"  # rumqttd chooses the format by the suffix.
        errors = directory / "stderr"
        if self.kind == "mosquitto":
            # As root, mosquitto would switch to another user, which cannot read the directory.
            user = "user root" if os.geteuid() == 0 else ""
            config.write_text(_MOSQUITTO_CONFIG.format(host=HOST, port=self.port, user=user))
            command = [*_end_with_parent(), _mosquitto() or "mosquitto", "-c", str(config)]
        else:
            config.write_text(_IOTCORE_CONFIG.format(host=HOST, port=self.port))
            # rumqttd logs every packet as an error.
            options = ["--config", str(config), "--log-level", "CRITICAL"]
            command = [sys.executable, "-P", "-c", _IOTCORE_PROGRAM, *options]
        process = await _run(command, errors)
        stack.push_async_callback(_stop, process)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await _accepts_connections(self.port):
                    await _wait_for_exit(process, _RETRY_S)
                    if process.returncode is not None:
                        break
        except TimeoutError:
            raise BrokerError(
                f"{self.kind} does not accept connections after {_START_TIMEOUT_S:.0f} s"
            ) from None
        if process.returncode is not None:
            reason = errors.read_text(errors="replace").strip() or "no error output"
            raise BrokerError(f"{self.kind} exited with status {process.returncode}: {reason}")


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=_SEARCH_PATH)


def _end_with_parent() -> list[str]:
    # setpriv is part of util-linux, which every Linux has; elsewhere mosquitto outlives a parent
    # that is killed.
    setpriv = shutil.which("setpriv", path=_SEARCH_PATH)
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _run(command: Sequence[str], errors: Path) -> asyncio.subprocess.Process:
    with errors.open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
        )


async def _accepts_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _wait_for_exit(process: asyncio.subprocess.Process, at_most: float) -> None:
    try:
        async with asyncio.timeout(at_most):
            await process.wait()
    except TimeoutError:
        return


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await _wait_for_exit(process, _STOP_TIMEOUT_S)
    if process.returncode is None:
        process.kill()
        await process.wait()
