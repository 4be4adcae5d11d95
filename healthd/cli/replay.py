"""``healthd run --replay`` and ``healthd demo --replay``: the daemon, fed by a capture."""

import asyncio
import os
import zlib
from collections.abc import Coroutine, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from healthd.capture.reading import read as read_lines
from healthd.capture.replay.entries import entries_for, entries_of, fits
from healthd.capture.replay.player import Player
from healthd.capture.replay.recording import Recording, recording_of
from healthd.capture.replay.timing import ReplayLoop
from healthd.cli import console
from healthd.cli.run import EXIT_FAILED, until_signal
from healthd.errors import HealthdError
from healthd.log import configure
from healthd.profiles import registry
from healthd.profiles.registry import Registry
from healthd.settings.file import read
from healthd.settings.keys import Keys
from healthd.settings.model import CaptureSettings, PeripheralSettings, Settings
from healthd.traffic.codec import BadCapture

# No key is in a capture, and what depends on it is not compared: any key opens a replayed device.
_ANY_KEY = bytes(16)
_ANY_CONSENT = "0000\n"


class CannotReplay(HealthdError):
    """The capture cannot be played, or something of it did not arrive; the text says why."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What the options say.

    Attributes:
        file: the capture.
        speed: how many times as fast as it was.
        deterministic: whether all output is to be the same each time.
    """

    file: Path
    speed: float = 1.0
    deterministic: bool = False


class Body(Protocol):
    """Plays a recording."""

    def __call__(
        self, recording: Recording, known: Registry, player: Player, stop: asyncio.Event
    ) -> Coroutine[Any, Any, None]:
        """Play it until it ends, or ``stop`` is set."""
        ...


def run(config: Path, replay: Replay) -> int:
    """Run the daemon of these settings on a capture.

    Returns:
        The exit code: 0 if everything was played and delivered, 1 if not, 78 bad settings.
    """

    async def body(
        recording: Recording, known: Registry, player: Player, stop: asyncio.Event
    ) -> None:
        with users_settings(config, recording, known) as settings:
            configure(settings.log.level)
            await player.play(settings, known, stop)

    return until_played(replay, body)


def until_played(replay: Replay, body: Body) -> int:
    """Read the capture and run ``body``; return the exit code, as ``run`` does."""
    configure()
    problems: list[str] = []

    async def main(stop: asyncio.Event) -> None:
        known = registry.load()
        try:
            recording, seed = _read(replay.file, known)
            player = Player(recording, replay.speed, seed if replay.deterministic else None)
            await body(recording, known, player, stop)
        except CannotReplay as error:
            problems.append(str(error))
        else:
            problems.extend([] if player.problem is None else [player.problem])

    code = until_signal(main, ReplayLoop)
    console.complain(*problems)
    return code or (EXIT_FAILED if problems else 0)


def _read(file: Path, known: Registry) -> tuple[Recording, int]:
    """Return a capture, and a number that is another one for another file."""
    try:
        recording = recording_of(read_lines(file), known.listed.values())
        return recording, zlib.crc32(file.read_bytes())
    except BadCapture as error:
        raise CannotReplay(f"{file}: {error}") from error
    except OSError as error:
        raise CannotReplay(f"{file}: {error.strerror or error}") from error


@contextmanager
def users_settings(config: Path, recording: Recording, known: Registry) -> Generator[Settings]:
    """Yield the settings of a file, for a daemon of its own: it may be another one's, too.

    Raises:
        CannotReplay: no peripheral of the settings is in the capture.
        Fatal: the settings cannot be used.
    """
    settings = read(config, os.environ, known.listed)
    entries = entries_for(settings.peripherals, recording, known)
    devices = recording.devices.values()
    if not any(fits(entry, device, known) for entry in entries for device in devices):
        names = ", ".join(console.name(device.name or "no name") for device in devices)
        raise CannotReplay(
            f"no peripheral of {config} is in the capture, which has {len(devices)} ({names}): "
            "healthd demo --replay plays all that healthd can read"
        )
    with TemporaryDirectory(prefix="healthd-replay-") as folder:
        _store_keys(Path(folder), entries)
        outbox = settings.outbox.model_copy(update={"directory": Path(folder)})
        yield settings.model_copy(
            update={
                "outbox": outbox,
                "peripherals": tuple(entries),
                "capture": CaptureSettings(),
            }
        )


@contextmanager
def demo_settings(broker: str, recording: Recording, known: Registry) -> Generator[Settings]:
    """Yield settings with an entry for each device of a capture that healthd can read.

    Raises:
        CannotReplay: there is none.
    """
    with TemporaryDirectory(prefix="healthd-replay-") as name:
        folder = Path(name)
        consent = folder / "consent"
        consent.write_text(_ANY_CONSENT, "ascii")
        entries = entries_of(recording, known, consent)
        if not entries:
            found = sum(len(device.entries) > 0 for device in recording.devices.values())
            raise CannotReplay(
                f"healthd can read none of the {found} devices of the capture: they have no known "
                "service, and advertise nothing that it knows"
            )
        settings = Settings.model_validate(
            {
                "gateway": {"id": "demo"},
                "mqtt": {"brokers": [broker]},
                # The replayed adapter has a slot for every peripheral.
                "bluetooth": {"slots": min(64, len(entries))},
                "outbox": {"directory": folder / "outbox", "max_size": "4MB"},
                "peripherals": entries,
            }
        )
        _store_keys(folder / "outbox", settings.peripherals)
        yield settings


def _store_keys(state: Path, entries: Iterable[PeripheralSettings]) -> None:
    keys = Keys(state)
    keys.make_folder()
    for entry in entries:
        keys.store(entry.id, _ANY_KEY)
