"""The files of the state folder after damage: what cannot be read counts as absent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC
from pathlib import Path

from healthd.gateway import attribution, held_results
from healthd.host.clock import Clock
from healthd.mqtt import announced, retained_topics
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import RunFile
from healthd.profiles.registry import load
from healthd.schedule import Last
from healthd.sessions import schedule_file
from healthd.settings.people import PersonSettings
from tests.fuzz import target

_TOPICS = Topics("healthd", "g")
_PEOPLE = [PersonSettings(id="anna", weight_kg=70), PersonSettings(id="bo", weight_kg=90)]


class Target(target.Target):
    """The first byte chooses the file, the rest is its content."""

    words = (
        b'"wall_ns":',
        b'"topics":',
        b'"ends":',
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"1e300",
        b"\\ud800",
        b"NaN",
    )

    def __init__(self) -> None:
        """Make a folder."""
        self._temporary = target.folder()
        self._folder = Path(self._temporary.name)
        self._registry = load()
        self._runner = asyncio.Runner()
        self._files: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            (announced.FILE_NAME, self._announced),
            (retained_topics.FILE_NAME, self._retained),
            (schedule_file.FILE_NAME, self._schedule),
            (attribution.FILE_NAME, self._people),
            (held_results.FILE_NAME, self._held),
            ("healthd-g.json", self._run),
        )

    def seeds(self) -> Iterable[bytes]:
        """Yield a good content of each file."""
        yield (
            b'\0{"topics":{"homeassistant/device/a/config":{"hr":"sensor"}},"peripherals":'
            b'{"strap":{"match":"name","streams":{"heart_rate":["heart_rate_bpm"]},'
            b'"facts":{"maker":"x"}}}}'
        )
        yield b'\1{"strap":["healthd/g/device/strap/info"],"":["healthd/h/status","other/g/info"]}'
        yield b'\2{"scale":{"wall_ns":1796039724000000000,"mono_ns":5,"boot":"b"}}'
        yield b'\3{"anna":{"kg":70.5,"at_s":1796039724.0}}'
        yield b"\3{}"
        yield (
            b'\4[{"peripheral":"cuff","kind":"blood_pressure","fields":{"systolic_mmhg":123},'
            b'"record":["a",1,"b"],"wall_ns":1796039724000000000,"clock":"synced"}]'
        )
        yield b'\5{"run":"7f3a1c0e","started_ns":1796039724,"ends":[["strap","heart_rate",3,4]]}'

    def fuzz(self, data: bytes) -> None:
        """Read it, use what was read, and write it again."""
        name, use = self._files[(data[0] if data else 0) % len(self._files)]
        (self._folder / name).write_bytes(data[1:])
        self._runner.run(_awaited(use))

    async def _announced(self) -> None:
        read = announced.Announced(self._folder)
        read.topics["homeassistant/device/z/config"] = {"battery": "sensor"}
        await read.save()

    async def _retained(self) -> None:
        read = retained_topics.RetainedTopics(self._folder)
        read.add("strap", "healthd/g/device/strap/status")
        read.use_people(["anna"])
        for peripheral, topic in read.outside(_TOPICS):
            topic.encode()
            read.forget(peripheral, topic)
        for peripheral in list(read.removed_peripherals()):
            read.remove(peripheral)
        await read.save()

    async def _schedule(self) -> None:
        read = schedule_file.ScheduleFile(self._folder)
        await read.remember("strap", Last(1, 2, "b"))

    async def _people(self) -> None:
        read = attribution.Attribution(self._folder, Clock(), lambda: UTC)
        read.use(_PEOPLE)
        await read.save()

    async def _held(self) -> None:
        async with held_results.HeldResults(self._folder) as read:
            for held in read.read(self._registry):
                held.timed.measurement.fields()

    async def _run(self) -> None:
        read = RunFile(self._folder, "g")
        previous = read.read()
        if previous is not None:
            # What the outbox can store.
            assert abs(previous.started_ns) < 2**63
            for stream, end in previous.ends.items():
                assert all(isinstance(part, str) for part in stream)
                assert max(abs(end.seq), abs(end.wall_ns)) < 2**63
            read.write(previous.run, previous.started_ns, previous.ends)

    def __exit__(self, *exception: object) -> None:
        """Remove the folder, close the event loop."""
        self._runner.close()
        self._temporary.cleanup()


async def _awaited(use: Callable[[], Awaitable[None]]) -> None:
    await use()
