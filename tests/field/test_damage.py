"""D2, D3, D15, D16, D28: bits rot in the outbox, its log and the notes, and files are cut short.

Each round takes the files of a killed run, damages one of them, and starts the outbox on it as the
daemon does: everything is delivered, and then the next start must find nothing wrong any more.
Nothing garbled is published, each sample arrives or is named, and no start fails.
"""

import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from healthd.events import OutboxEvent
from healthd.gateway.held_results import FILE_NAME as HELD
from healthd.gateway.held_results import HeldResults
from healthd.host.state_file import StateFile
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.outbox.outbox import Outbox
from healthd.outbox.schema import Stored
from healthd.profiles import registry
from healthd.schedule import Last
from healthd.sessions.schedule_file import ScheduleFile
from tests.support.effort import effort
from tests.support.live_path import next_pending
from tests.unit.outbox.bench import OVERDUE_S, SPILL_AFTER_S, Bench, Service, checkpoint, soon

ROUNDS = effort(20, 1000)

# Streams of three peripherals, and how many samples of each wait.
PERIPHERALS, WAITING, DELIVERED = ("chest-strap", "scale", "pod"), 150, 20

# A start that takes longer than this is not bounded: it takes some 20 ms, and the machine is busy.
START_S = 30.0

DAMAGES = {"corrupt", "damaged", "deleted", "other_version"}

Key = tuple[str, str, str, int]


class Base(NamedTuple):
    """The files of a killed run, and what it had stored."""

    folder: Path
    stored: dict[Key, bytes]


@dataclass
class Seen:
    """What a start has published and reported."""

    samples: dict[Key, bytes] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    start_s: float = 0.0


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rounds of the outbox's service follow each other quickly."""
    monkeypatch.setattr("healthd.outbox.outbox._TICK_S", 0.01)
    monkeypatch.setattr("healthd.outbox.outbox._LOOK_S", 0.0)
    monkeypatch.setattr("healthd.outbox.backlog.START_PAUSE_S", 0.0)
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", SPILL_AFTER_S)


def key(stored: Stored) -> Key:
    return stored.peripheral, stored.stream, stored.run, stored.seq


def bench_in(folder: Path) -> Bench:
    runtime = folder / "runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    return Bench(folder / "state", runtime=runtime)


async def killed_run(folder: Path, *, in_log: bool) -> Base:
    """Return what a run leaves that is killed in an outage."""
    bench = bench_in(folder)
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in range(WAITING):
            for name in PERIPHERALS:
                size = number * 40 if name == "pod" else number % 40
                outbox.put(bench.sample(OVERDUE_S, "beat", name, size))
            if number % 30 == 0:
                outbox.put(bench.run.event(OutboxEvent(change="parked", detail=f"{number}")))
                await service.rounds()
        await service.rounds()
        for stored in await soon(outbox.backlog.next_batch(DELIVERED, tuple)):
            outbox.acknowledge_stored(stored)
        await service.rounds()
        outbox.requeue_unacknowledged()
        rows = await soon(outbox.backlog.next_batch(10_000, tuple))
        if not in_log:
            checkpoint(bench.path)
        await write_notes(bench.folder)
        killed = folder.with_name(f"{folder.name}-killed")
        shutil.copytree(folder, killed)
    return Base(killed, {key(each): each.payload for each in rows})


async def write_notes(folder: Path) -> None:
    await ScheduleFile(folder).remember("scale", Last(1_795_485_811_000_000_000, 77, "boot"))
    topics = RetainedTopics(folder)
    topics.add("scale", "healthd/gw/device/scale/info", "healthd/gw/device/scale/weight")
    await topics.save()
    held = {
        "peripheral": "scale",
        "kind": "weight",
        "fields": {"weight_kg": 82.3},
        "record": None,
        "wall_ns": 1_795_485_811_000_000_000,
        "clock": "synced",
    }
    await StateFile(folder / HELD, "held results").keep([held])


def check_notes(folder: Path) -> None:
    """Check that the notes are what was written, or nothing."""
    assert ScheduleFile(folder).last("scale") in (None, Last(1_795_485_811_000_000_000, 77, "boot"))
    topics = RetainedTopics(folder)
    assert set(topics.remove("scale")) <= {
        "healthd/gw/device/scale/info",
        "healthd/gw/device/scale/weight",
    }
    assert set(topics.removed_peripherals()) <= {"scale"}
    for held in HeldResults(folder).read(registry.load()):
        assert held.timed.measurement.fields() == {"weight_kg": 82.3}
        assert held.wall_ns == 1_795_485_811_000_000_000


async def start(bench: Bench) -> Seen:
    """Start the outbox, deliver everything, and stop it."""
    seen, began = Seen(), time.monotonic()
    async with bench.outbox() as outbox:
        seen.start_s = time.monotonic() - began
        assert isinstance(outbox.previous_runs, list)
        async with Service(outbox) as service:
            await service.rounds()
            while (await outbox.stats())["on_disk"]:
                for stored in await soon(outbox.backlog.next_batch(1000, tuple)):
                    note(seen, stored.peripheral, stored.stream, stored.payload, key(stored))
                    outbox.acknowledge_stored(stored)
                await service.rounds()
                await take_live(outbox, seen)
            await take_live(outbox, seen)
    return seen


async def take_live(outbox: Outbox, seen: Seen) -> None:
    while (await outbox.stats())["in_memory"]:
        pending = await soon(next_pending(outbox.live))
        sample = pending.sample
        note(seen, sample.peripheral, sample.stream, sample.payload(), None)
        outbox.live.acknowledge(pending)


def note(seen: Seen, peripheral: str, stream: str, payload: bytes, stored: Key | None) -> None:
    if stored is not None:
        seen.samples[stored] = payload
    if not peripheral and stream == "event/gap":
        seen.gaps.append(orjson.loads(payload))
    elif not peripheral and stream == "event/outbox":
        seen.changes.append(orjson.loads(payload))


def damage(folder: Path, rng: random.Random) -> str:
    """Flip a few bits of a file, or cut it short; return what was done."""
    state = folder / "state"
    files = [state / "outbox.sqlite3"] * 12 + [state / "outbox.sqlite3-wal"] * 8
    files += [*state.glob("*.json"), *(folder / "runtime").iterdir()]
    file = rng.choice([file for file in files if file.exists() and file.stat().st_size])
    content = bytearray(file.read_bytes())
    if rng.random() < 0.15:
        length = rng.randrange(len(content))
        file.write_bytes(content[:length])
        return f"{file.name} cut to {length}"
    places: list[int] = []
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        # Half of them where nearly everything depends on each bit.
        most = rng.choice((4096, 400_000, len(content)))
        at = rng.randrange(min(most, len(content)))
        content[at] ^= 1 << rng.randrange(8)
        places.append(at)
    file.write_bytes(content)
    return f"{file.name} flipped at {places}"


def is_named(missing: Key, gaps: list[dict[str, Any]]) -> bool:
    peripheral, stream, run, seq = missing
    return any(
        (gap["peripheral"], gap["stream"], gap["run"]) == (peripheral, stream, run)
        and gap["reason"] in ("damaged", "evicted")
        and gap.get("first_seq", 0) <= seq <= gap.get("last_seq", seq)
        for gap in gaps
    )


@dataclass
class Totals:
    """Counts over all rounds."""

    rounds: int = 0
    hits: int = 0
    missing: int = 0
    by_gap: int = 0
    by_event: int = 0
    again: int = 0
    slowest_s: float = 0.0


async def damage_and_start(base: Base, folder: Path, rng: random.Random, totals: Totals) -> None:
    shutil.copytree(base.folder, folder)
    what = damage(folder, rng)
    try:
        await check_round(base, folder, totals)
    except BaseException as error:
        error.add_note(f"{base.folder.name}: {what}")
        raise
    shutil.rmtree(folder)


async def check_round(base: Base, folder: Path, totals: Totals) -> None:
    bench = bench_in(folder)
    check_notes(bench.folder)
    seen = await start(bench)
    totals.rounds += 1
    totals.slowest_s = max(totals.slowest_s, seen.start_s)
    assert seen.start_s < START_S
    own = {key_: payload for key_, payload in seen.samples.items() if key_[2] != bench.run.id}
    garbled = {each: payload for each, payload in own.items() if base.stored.get(each) != payload}
    # What the broker had acknowledged before may come again, with the same id.
    again = {each for each in garbled if each not in base.stored and each[3] <= DELIVERED}
    totals.again += len(again)
    assert not garbled.keys() - again, garbled
    missing = base.stored.keys() - own.keys()
    changes = [each for each in seen.changes if each["change"] in DAMAGES]
    by_gap = {each for each in missing if is_named(each, seen.gaps)}
    totals.hits += bool(changes or missing)
    totals.missing += len(missing)
    totals.by_gap += len(by_gap)
    totals.by_event += len(missing - by_gap)
    assert changes or not missing - by_gap, missing - by_gap
    bench.next_run()
    second = await start(bench)
    assert not [each for each in second.changes if each["change"] in DAMAGES]
    assert not second.samples


@pytest.fixture
async def bases(tmp_path: Path) -> list[Base]:
    return [
        await killed_run(tmp_path / "in-log", in_log=True),
        await killed_run(tmp_path / "in-file", in_log=False),
    ]


@pytest.mark.timeout(effort(120, 7200))
async def test_whatever_bits_rot_the_next_start_delivers_the_rest_and_names_what_is_lost(
    bases: list[Base], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = Totals()
    for seed in range(ROUNDS):
        rng = random.Random(seed)
        try:
            await damage_and_start(rng.choice(bases), tmp_path / f"{seed}", rng, totals)
        except BaseException as error:
            error.add_note(f"seed {seed}, {totals}")
            raise
    assert totals.hits > ROUNDS / 10
    with capsys.disabled():
        print(totals)  # noqa: T201
