"""``healthd watch``: samples from any broker, as they arrive."""

import asyncio
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from healthd.cli.follow import follow
from healthd.cli.run import until_signal
from healthd.cli.view import view
from healthd.errors import Fatal
from healthd.log import configure
from healthd.mqtt.acked_client import Endpoint
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.topics import Topics
from healthd.profiles import registry
from healthd.settings import MqttSettings, Settings
from healthd.settings_file import read


def main(broker: str, prefix: str, config: Path | None) -> int:
    """Show what arrives until SIGINT or SIGTERM.

    Args:
        broker: where to listen, unless ``config`` names one.
        prefix: first level of the topics, unless ``config`` names one.
        config: settings with broker, prefix and credentials.

    Returns:
        The exit code: 0, 78 bad settings.
    """
    configure("warning")
    return until_signal(lambda stop: _watch(broker, prefix, config, stop))


async def _watch(broker: str, prefix: str, config: Path | None, stop: asyncio.Event) -> None:
    settings = _settings(broker, prefix) if config is None else _read(config)
    endpoint = listener(settings)
    title = f"{endpoint.host}:{endpoint.port}"
    with view(title, "Ctrl-C ends it", "warning") as shown:
        await follow(endpoint, f"{settings.mqtt.prefix}/#", shown, stop)


def listener(settings: Settings) -> Endpoint:
    """The first broker of the settings, for a client that listens and announces nothing."""
    topics = Topics(settings.mqtt.prefix, settings.gateway.id)
    # An id of its own: with the daemon's it would take the daemon's connection over.
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
    return read(config, os.environ, registry.load().profiles)
