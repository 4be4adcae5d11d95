"""The daemon in virtual time, on simulated devices or on a capture, and what it publishes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from healthd.capture.replay.entries import entries_for
from healthd.capture.replay.player import Player
from healthd.capture.replay.recording import recording_of
from healthd.capture.replay.timing import ReplayLoop, VirtualClock
from healthd.central.link import Backends
from healthd.cli.live.follow import follow
from healthd.cli.watch import listener
from healthd.gateway.captures import FOLDER
from healthd.gateway.daemon import Daemon
from healthd.host.in_thread import is_working
from healthd.mqtt.acked_client import awaits_answers, follow_replaced_clock
from healthd.mqtt.arrivals import Message
from healthd.profiles import registry
from healthd.settings.model import CaptureSettings, Settings
from healthd.simulator.air import Air
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.device import VirtualDevice
from healthd.traffic.codec import encode, lines
from healthd.traffic.masking import Masker

KNOWN = registry.load()
_BOUND_S = 20.0
_WALL_NS = 1_795_480_000_123_456_000

_T = TypeVar("_T")

# What belongs to the run.
_OF_RUN = ("id", "time")
_TIMES = ("first", "last")

Messages = list[tuple[str, bytes]]


def in_replay_loop(body: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        return runner.run(body())


class _Kept:
    """A view that keeps all messages."""

    def __init__(self, status: str) -> None:
        self.messages: Messages = []
        self.connected, self.offline = asyncio.Event(), asyncio.Event()
        self._status = status

    def show(self, message: Message) -> None:
        if not message.retained:
            self.messages.append((message.topic, bytes(message.payload)))
            if message.topic == self._status and message.payload == b"offline":
                self.offline.set()

    def set_broker_fault(self, fault: str | None) -> None:
        assert fault is None
        self.connected.set()


@asynccontextmanager
async def kept_messages(settings: Settings) -> AsyncGenerator[Messages]:
    """Keep what is published in the block, to the gateway's last message."""
    prefix = f"{settings.mqtt.prefix}/{settings.gateway.id}"
    kept, ended = _Kept(f"{prefix}/status"), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(listener(settings), f"{prefix}/#", kept, ended))
        async with asyncio.timeout(_BOUND_S):
            await kept.connected.wait()
            awaits = True
            while awaits:
                await asyncio.sleep(0.01)
                awaits = awaits_answers()
        try:
            yield kept.messages
            async with asyncio.timeout(_BOUND_S):
                await kept.offline.wait()
        finally:
            ended.set()


def settings_of(
    broker: EmbeddedBroker, folder: Path, entries: Sequence[Mapping[str, Any]]
) -> Settings:
    return Settings.model_validate(
        {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"]},
            "outbox": {"directory": folder, "max_size": "16MB"},
            "bluetooth": {"slots": 20},
            "peripherals": entries,
        }
    )


def _never() -> None:
    raise AssertionError("the broker does not answer")


class _TickingClock(VirtualClock):
    """Virtual time that is never the same twice: in a capture an answer follows its request."""

    def monotonic(self) -> float:
        self._now += 1e-6
        return super().monotonic()


async def live(
    settings: Settings,
    devices: Sequence[VirtualDevice],
    script: Callable[[], Awaitable[None]],
) -> tuple[Messages, bytes]:
    """Run the daemon on simulated devices; return what it published, and its own capture.

    Args:
        settings: with one peripheral.
        devices: which appear at the beginning.
        script: what happens then; the daemon stops after it.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ReplayLoop)
    follow_replaced_clock()
    capture = CaptureSettings(peripherals=(settings.peripherals[0].id,))
    settings = settings.model_copy(update={"capture": capture})
    async with kept_messages(settings) as messages:
        clock = _TickingClock(_WALL_NS, _never)
        with loop.shows(clock, lambda: awaits_answers() or is_working()):
            async with Air() as air:
                for device in devices:
                    await air.add(device)
                backends = Backends(air.scanner_backend, air.client_backend)
                stop = asyncio.Event()
                daemon = Daemon(settings, KNOWN, {"TZ": "UTC"}, backends)
                running = asyncio.create_task(daemon.run(stop))
                for device in devices:
                    await device.appear()
                await script()
                left = await daemon.waiting()
                while left:
                    await asyncio.sleep(0.1)
                    left = await daemon.waiting()
                stop.set()
                await running
    assert settings.outbox.directory is not None
    (file,) = (settings.outbox.directory / FOLDER).iterdir()
    return messages, file.read_bytes()


def masked(capture: bytes, *, keep_identity: bool) -> bytes:
    """Return a capture as ``healthd capture`` writes it."""
    masker = Masker(keep_identity=keep_identity)
    found = [*lines(capture.splitlines())]
    for line in found:
        masker.learn(line)
    masked_lines = [masker.again(masker.line(line)) for line in found]
    return b"".join(encode(line) + b"\n" for line in masked_lines)


async def replayed(
    settings: Settings, capture: bytes, seed: int | None = 7, speed: float = 1.0
) -> Messages:
    """Run the daemon on a capture; return what it published."""
    recording = recording_of(lines(capture.splitlines()), KNOWN.listed.values())
    entries = entries_for(settings.peripherals, recording, KNOWN)
    settings = settings.model_copy(update={"peripherals": tuple(entries)})
    player = Player(recording, speed, seed)
    async with kept_messages(settings) as messages:
        await player.play(settings, KNOWN, asyncio.Event())
    assert player.problem is None
    return messages


def samples(messages: Messages) -> dict[str, list[dict[str, Any]]]:
    """Return the samples of each topic, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, payload in messages:
        stream = topic.removeprefix("healthd/gateway/")
        if stream.startswith("device/") and not stream.endswith(("/status", "/info")):
            found.setdefault(stream, []).append(orjson.loads(payload))
    return found


def measured(messages: Messages) -> dict[str, list[bytes]]:
    """Return the samples of each topic without what belongs to the run: its id and the times.

    All other fields are compared as bytes: their values, their order, and ``seq``.
    """
    return {
        topic: [
            orjson.dumps({key: value for key, value in one.items() if key not in _OF_RUN})
            for one in found
        ]
        for topic, found in samples(messages).items()
    }


def events(messages: Messages, kind: str) -> list[dict[str, Any]]:
    """Return the gateway's events of a kind, without ids and times."""
    topic = f"healthd/gateway/event/{kind}"
    found = [orjson.loads(payload) for name, payload in messages if name == topic]
    return [
        {key: value for key, value in event.items() if key not in {*_OF_RUN, "run", *_TIMES}}
        for event in found
    ]
