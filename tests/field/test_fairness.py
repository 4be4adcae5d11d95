"""One strap that floods, next to others: it gets its own share, and they lose nothing (D9)."""

import asyncio
import sqlite3
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from healthd.central import door
from healthd.central.link import Backends
from healthd.errors import Backoff
from healthd.gateway.daemon import Daemon
from healthd.outbox.outbox import STORE_NAME
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.attributes import notifying
from healthd.simulator.part import Payloads, Sent
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.field.rig import ROOT, Field, part
from tests.support.conformity import conform
from tests.support.effort import effort
from tests.support.mosquitto import free_port
from tests.support.polling import until

QUIET = [f"quiet-{number}" for number in range(7)]
FLOOD = "flood"
HEART_RATE, MEASUREMENT = 0x180D, 0x2A37
ENTRIES = [{"id": name, "name": name} for name in (FLOOD, *QUIET)]
PER_S = 4
SECONDS = effort(3, 60)
FLOODED = 6000
# After a flood: it is over when the last of these has arrived.
CALM = 4


def beat(number: int) -> bytes:
    """Return a heart rate with a number that is found in its sample, as energy expended in kJ."""
    return struct.pack("<BBH", 0x08, 72, number)


def numbered(pause_s: float, count: int, at_once: int = 1) -> Payloads:
    """Return a source of numbered heart rates, which ends with its last one on the first link."""
    numbers: Iterator[int] = iter(range(1, count + 1))

    async def payloads() -> AsyncGenerator[bytes, None]:
        for number in numbers:
            yield beat(number)
            if number >= count - CALM:
                await asyncio.sleep(1 / PER_S)
            elif number % at_once == 0:
                await asyncio.sleep(pause_s)
        await asyncio.Event().wait()

    return payloads


def for_ever() -> Payloads:
    """Return a source that sends as fast as its link takes it."""

    async def payloads() -> AsyncGenerator[bytes, None]:
        while True:
            yield beat(1)
            await asyncio.sleep(0)

    return payloads


@pytest.fixture(autouse=True)
def enough_slots(field: Field) -> None:
    field.settings["bluetooth"] = {"slots": len(ENTRIES)}


class Straps:
    """Straps that send heart rates, and what each of them has sent."""

    def __init__(self, flood: Payloads) -> None:
        self.sent = Counter[str]()
        quiet = [self.strap(name, numbered(1 / PER_S, PER_S * SECONDS)) for name in QUIET]
        self.all = [self.strap(FLOOD, flood), *quiet]

    def strap(self, name: str, payloads: Payloads) -> VirtualPeripheral:
        def record(_: Sent) -> None:
            self.sent[name] += 1

        number = 1 if name == FLOOD else 2 + QUIET.index(name)
        measured = part(HEART_RATE, {notifying(MEASUREMENT): payloads})
        return VirtualPeripheral(name, address(number), [measured], record=record)


def numbers(field: Field, peripheral: str, kind: str = "heart_rate") -> list[int]:
    return [one["energy_expended_kj"] for one in field.values(peripheral, kind)]


def left_out(field: Field) -> int:
    """Return how many values of the flooding strap the events name as left out."""
    gaps = [gap for gap in field.events("gap") if gap["reason"] == "too_fast"]
    assert {(gap["peripheral"], gap["stream"]) for gap in gaps} <= {(FLOOD, "heart_rate")}
    return sum(gap["count"] for gap in gaps)


@pytest.mark.timeout(180)
async def test_seven_straps_lose_nothing_live_next_to_one_that_floods(field: Field) -> None:
    flooded = FLOODED // 2
    straps = Straps(numbered(0.01, flooded, at_once=15))
    async with gateway(field.subscriber, field.settings, ENTRIES) as air:
        await add(air, *straps.all)
        await field.until(
            lambda: all(len(numbers(field, name)) == PER_S * SECONDS for name in QUIET), BOUND_S
        )
        await field.until(lambda: flooded in numbers(field, FLOOD), 2 * BOUND_S)
    for name in QUIET:
        assert numbers(field, name) == list(range(1, PER_S * SECONDS + 1))
        assert not field.received(name, "heart_rate/history")
    # Each value of the other one was published in its order, or is named.
    published = [*numbers(field, FLOOD), *numbers(field, FLOOD, "heart_rate/history")]
    assert sorted(published) == sorted(set(published))
    assert len(published) + left_out(field) == straps.sent[FLOOD] == flooded
    assert left_out(field) > 0
    gaps = [gap for gap in field.events("gap") if gap["reason"] == "too_fast"]
    assert len(gaps) <= 3, "one event for many values"
    conform(one for one in field.subscriber.messages if one.topic.startswith(f"{ROOT}/"))


async def test_a_link_that_floods_is_ended_and_comes_back_after_a_pause(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_ENDS_AT", 500)
    # So that a test sees the next link; the length of the pauses is tested with the session.
    monkeypatch.setattr("healthd.central.faults._FLOODING", Backoff(first_s=0.5, ceiling_s=0.5))
    straps = Straps(for_ever())
    async with gateway(field.subscriber, field.settings, ENTRIES[:1]) as air:
        await add(air, straps.all[0])
        await field.until(lambda: len(links(field)) >= 3, BOUND_S)
        info = [one for one in field.received(FLOOD, "info") if one.get("reason")]
    assert links(field)[:3] == [("up", None), ("down", "flooding"), ("up", None)]
    assert {(one["state"], one["reason"]) for one in info} == {("waiting", "flooding")}
    assert left_out(field) > 0


def links(field: Field) -> list[tuple[str, str | None]]:
    return [(one["change"], one.get("reason")) for one in field.events("link")]


@pytest.mark.timeout(300)
async def test_in_an_outage_of_a_full_outbox_only_who_floods_loses_samples(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even if it may send as much as it likes.
    monkeypatch.setattr(door, "SHARE", door.Share(1e9, 1e9, 1e12, 1e12))
    straps = Straps(numbered(0.01, FLOODED, at_once=25))
    away: dict[str, Any] = {
        **field.settings,
        "mqtt": {"brokers": [f"127.0.0.1:{free_port()}"]},
        "outbox": {**field.settings["outbox"], "max_size": 1_000_000},
    }
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        backends = Backends(air.scanner_backend, air.client_backend)
        settings = Settings.model_validate({**away, "peripherals": ENTRIES})
        daemon = Daemon(settings, registry.load(), {"TZ": "UTC"}, backends)
        tasks.create_task(daemon.run(stop))
        await add(air, *straps.all)
        file = Path(field.settings["outbox"]["directory"]) / STORE_NAME
        newest = {FLOOD: FLOODED, **dict.fromkeys(QUIET, PER_S * SECONDS)}

        async def all_stored() -> bool:
            return newest_stored(file) == newest

        assert await until(all_stored, 4 * BOUND_S), newest_stored(file)
        stop.set()
    async with gateway(field.subscriber, {**away, "mqtt": field.settings["mqtt"]}, ENTRIES):
        await field.until(
            lambda: all(len(seqs(field, name)) == PER_S * SECONDS for name in QUIET), 2 * BOUND_S
        )
        await field.until(
            lambda: len(seqs(field, FLOOD)) + len(named(field)) >= FLOODED, 2 * BOUND_S
        )
    gaps = [gap for gap in field.events("gap") if gap["reason"] == "evicted"]
    assert {gap["peripheral"] for gap in gaps} == {FLOOD}
    assert sorted([*seqs(field, FLOOD), *named(field)]) == list(range(1, FLOODED + 1))
    assert sum(gap["count"] for gap in gaps) == len(named(field))


def newest_stored(file: Path) -> dict[str, int]:
    """Return the highest number of each strap in the outbox; the oldest go first."""
    query = "SELECT peripheral, max(seq) FROM pending WHERE stream = 'heart_rate' GROUP BY 1"
    uri = f"{file.as_uri()}?mode=ro"
    # It is being created at first.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(uri, uri=True)) as db:
        return dict(db.execute(query).fetchall())
    return {}


def seqs(field: Field, peripheral: str) -> list[int]:
    return [one["seq"] for one in field.received(peripheral, "heart_rate/history")]


def named(field: Field) -> list[int]:
    """Return the numbers of all samples that events name as evicted."""
    gaps = [gap for gap in field.events("gap") if gap["reason"] == "evicted"]
    return [seq for gap in gaps for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
