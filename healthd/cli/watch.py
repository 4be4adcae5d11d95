"""``healthd watch``: show samples from a broker as they arrive."""

import asyncio
import os
import secrets
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from healthd.cli.live.follow import follow
from healthd.cli.live.view import view
from healthd.cli.run import until_signal
from healthd.errors import Fatal
from healthd.log import configure
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.topics import Topics
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import MqttSettings, Settings


def main(
    broker: str, prefix: str, config: Path | None, seconds: float | None, as_json: bool
) -> int:
    """Show messages until SIGINT or SIGTERM.

    Args:
        broker: host, host:port or [IPv6]:port; ignored with ``config``.
        prefix: first level of the topics; ignored with ``config``.
        config: settings with broker, prefix and credentials.
        seconds: stop after this time; None: only at a signal.
        as_json: print one JSON object per message.

    Returns:
        The exit code: 0, 1 a file is missing, 78 bad settings.
    """
    configure("warning")

    async def body(stop: asyncio.Event) -> None:
        settings = _settings(broker, prefix) if config is None else _read(config)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        _stop_when_pipe_closes(stop)
        await _watch(settings, as_json, stop)

    return until_signal(body)


async def _watch(settings: Settings, as_json: bool, stop: asyncio.Event) -> None:
    endpoint, prefix = listener(settings), settings.mqtt.prefix
    title = f"healthd watch {endpoint.host}:{endpoint.port}"
    async with view(title, "Ctrl-C to quit", "warning", prefix, as_json=as_json) as messages:
        await follow(endpoint, f"{prefix}/#", messages, stop)


def _stop_when_pipe_closes(stop: asyncio.Event) -> None:
    """Set ``stop`` as soon as the reader of a pipe is gone, not only at the next message."""
    loop, out = asyncio.get_running_loop(), sys.stdout.fileno()

    def end() -> None:
        loop.remove_reader(out)
        stop.set()

    # The write end of a pipe never has data to read: it becomes readable only on an error.
    if stat.S_ISFIFO(os.fstat(out).st_mode):
        loop.add_reader(out, end)


def listener(settings: Settings) -> Endpoint:
    """Return the first broker of the settings, for a client that only subscribes."""
    topics = Topics(settings.mqtt.prefix, settings.gateway.id)
    # A client id of its own: with the daemon's, the broker would close the daemon's connection.
    identity = f"healthd-watch-{secrets.token_hex(4)}"
    endpoint = endpoints(settings, topics, os.environ)[0]
    return replace(endpoint, client_id=identity, will_topic=None)


def _settings(broker: str, prefix: str) -> Settings:
    mqtt: dict[str, Any] = {"brokers": [broker], "prefix": prefix}
    try:
        return Settings(mqtt=MqttSettings.model_validate(mqtt))
    except ValueError as error:
        raise Fatal(f"--broker or --prefix: {error}") from error


def _read(config: Path) -> Settings:
    return read(config, os.environ, registry.load().listed)
