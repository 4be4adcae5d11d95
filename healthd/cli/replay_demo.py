"""``healthd demo --replay``: a capture, an own broker, and what is published."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from healthd.capture.replay.player import Player
from healthd.capture.replay.recording import Recording
from healthd.cli.demo import subscribe_line
from healthd.cli.live.follow import follow
from healthd.cli.live.view import View, lines_view, view
from healthd.cli.replay import Replay, demo_settings, until_played, users_settings
from healthd.cli.watch import listener
from healthd.log import get_logger
from healthd.mqtt.acked_client import awaits_answers
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import Topics
from healthd.profiles.registry import Registry
from healthd.settings.model import Settings
from healthd.simulator.broker import EmbeddedBroker

# A broker passes messages on within milliseconds.
_LAST_MESSAGE_S = 5.0
_LOOK_S = 0.02


def main(seconds: float | None, config: Path | None, replay: Replay) -> int:
    """Play a capture and show what is published.

    Args:
        seconds: how long at most, in the time of the replay; None: to the end.
        config: use these settings and their broker; None for settings made from the capture, and
            an embedded broker.
        replay: what is played, and how.

    Returns:
        The exit code: 0 if everything was played and delivered, 1 if not, 78 bad settings.
    """

    async def body(
        recording: Recording, known: Registry, player: Player, stop: asyncio.Event
    ) -> None:
        async with AsyncExitStack() as stack:
            if config is not None:
                own = users_settings(config, recording, known)
            else:
                broker = await stack.enter_async_context(EmbeddedBroker())
                own = demo_settings(f"{broker.host}:{broker.port}", recording, known)
            settings = stack.enter_context(own)
            await _show(settings, known, player, seconds, stop, plain=replay.deterministic)

    return until_played(replay, body)


class _Noticing:
    """A view that notices when it is connected, and when the last message has arrived."""

    def __init__(self, inner: View, topics: Topics) -> None:
        self._inner = inner
        self._status = topics.status
        self.connected, self.offline = asyncio.Event(), asyncio.Event()

    def show(self, message: Message) -> None:
        """See ``View``."""
        self._inner.show(message)
        if message.topic == self._status and not message.retained:
            (self.offline.set if message.payload == b"offline" else self.offline.clear)()

    def set_broker_fault(self, fault: str | None) -> None:
        """See ``View``."""
        self._inner.set_broker_fault(fault)
        if fault is None:
            self.connected.set()


async def _show(
    settings: Settings,
    known: Registry,
    player: Player,
    seconds: float | None,
    stop: asyncio.Event,
    *,
    plain: bool,
) -> None:
    """Play with a subscriber that shows what is published; ``plain``: never as a table."""
    endpoint, topics = listener(settings), Topics(settings.mqtt.prefix, settings.gateway.id)
    subscribe = subscribe_line(endpoint, settings.mqtt.prefix)
    level, prefix = settings.log.level, settings.mqtt.prefix
    shown = (
        lines_view(level, endpoint.address)
        if plain
        else view("healthd demo", subscribe, level, prefix)
    )
    async with shown as messages, asyncio.TaskGroup() as tasks:
        noticing, ended = _Noticing(messages, topics), asyncio.Event()
        mine = f"{prefix}/{settings.gateway.id}/#"
        following = tasks.create_task(follow(endpoint, mine, noticing, ended), name="demo-follow")
        # It ends early if the reader of a pipe is gone; otherwise the daemon has stopped.
        following.add_done_callback(lambda _: stop.set())
        try:
            await _until_subscribed(noticing, stop)
            if not plain:
                broker = f"{endpoint.host}:{endpoint.port}"
                get_logger().info("demo", broker=broker, subscribe=subscribe)
            await player.play(settings, known, stop, seconds)
            async with asyncio.timeout(_LAST_MESSAGE_S):
                await noticing.offline.wait()
        except TimeoutError:
            player.problem = player.problem or "the broker has not passed on the last message"
        finally:
            ended.set()


async def _until_subscribed(noticing: _Noticing, stop: asyncio.Event) -> None:
    """Wait until no message can be missed any more."""
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await stop.wait()
        if noticing.connected.is_set() and not awaits_answers():
            break
