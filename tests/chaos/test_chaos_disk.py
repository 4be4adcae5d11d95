"""Faults of the outbox's disk, and damage to the outbox's file."""

import asyncio
import os
import random
import signal

import pytest

from tests.chaos import disk_faults, faults
from tests.chaos.conftest import Start, assert_nothing_lost, inject, inject_in_parallel
from tests.chaos.damage import damage_database
from tests.chaos.disk import needs_disk
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]

_BACKLOG = 300
# The space that the outbox leaves free on a disk smaller than its quota: one growth step.
_FREE_BYTES = 1 << 20


async def test_writes_fail_for_a_while(start: Start) -> None:
    twice = (disk_faults.refused_writes, disk_faults.refused_writes)
    plans = Plan(rate=50), Plan(write="through", rate=50)
    for rig in await inject_in_parallel(start, *((plan, twice) for plan in plans)):
        assert _changes(rig) == ["degraded", "recovered"] * 2


async def test_writes_fail_while_the_broker_is_reachable(start: Start) -> None:
    """In mode ``through``, live samples stay in order even if a commit fails."""
    rig = await start(Plan(write="through", rate=150))
    for _ in range(3):
        known = len(rig.gateway.log)
        rig.gateway.refuse_writes()
        await rig.gateway.logged("outbox", since=known, change="degraded")
        await rig.wait_for_flow()
        rig.gateway.allow_writes()
        await rig.gateway.logged("outbox", since=known, change="recovered")
        await rig.wait_for_flow()
    await assert_nothing_lost(rig)


@needs_disk
async def test_file_system_goes_read_only(start: Start) -> None:
    """ext4 goes read-only after an error, until it is unmounted."""
    rig = await start(Plan(loop_disk=True))
    assert rig.disk is not None
    rig.disk.fail()
    known = len(rig.gateway.log)
    await rig.proxy.refuse()
    await rig.gateway.logged("outbox", since=known, change="degraded")
    await faults.wait(3)
    await rig.proxy.listen()
    await rig.wait_for_flow()
    await assert_nothing_lost(rig)
    assert _changes(rig) == ["degraded"], "must be logged once, without a recovery"
    # The daemon must also start on the read-only file system.
    await rig.gateway.stop()
    await rig.gateway.start()
    await rig.wait_for_flow()


@needs_disk
async def test_full_disk(start: Start) -> None:
    full = (disk_faults.full_disk,)
    plans = Plan(loop_disk=True), Plan(write="through", loop_disk=True)
    for rig in await inject_in_parallel(start, *((plan, full) for plan in plans)):
        assert not _changes(rig), "the outbox had reserved its space"


@needs_disk
async def test_disk_smaller_than_the_quota(start: Start) -> None:
    """The quota is reduced to the size of the disk, and some space stays free."""
    rig = await start(Plan(loop_disk=True, max_size="200MB"))
    assert rig.disk is not None
    free, known = -1, os.statvfs(rig.disk.mount_point).f_bavail
    while free != known:
        await faults.wait(1)
        free, known = known, os.statvfs(rig.disk.mount_point).f_bavail
    await inject(rig, faults.stop_in_outage, faults.kill_in_outage)
    space = os.statvfs(rig.disk.mount_point)
    assert space.f_bavail * space.f_frsize > _FREE_BYTES, "too little free space"


@needs_disk
async def test_power_cut(start: Start) -> None:
    cuts = (disk_faults.cut_power,) * 3
    plans = Plan(loop_disk=True), Plan(write="through", loop_disk=True)
    await inject_in_parallel(start, *((plan, cuts) for plan in plans), seed=3)


async def test_deleted_and_damaged_database(start: Start) -> None:
    deleted = (disk_faults.delete_database,)
    plans = Plan(), Plan(write="through")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(inject_in_parallel(start, *((plan, deleted) for plan in plans)))
        tasks.create_task(_damage_while_stopped(start))
        tasks.create_task(_damage_while_running(start))


async def _damage_while_stopped(start: Start) -> None:
    rig = await start(Plan())
    await rig.proxy.refuse()
    await rig.until(lambda: len(rig.ledger.outstanding) > _BACKLOG, 20, "a backlog")
    await rig.gateway.stop()
    rig.ledger.destroyed = damage_database(rig.outbox / "outbox.sqlite3", random.Random(1))
    await rig.gateway.start()
    await rig.proxy.listen()
    await _assert_damage_reported(rig)
    assert "damaged" in rig.ledger.reasons(), "the damage must have hit samples"


async def _damage_while_running(start: Start) -> None:
    rig = await start(Plan())
    await rig.proxy.refuse()
    await rig.until(lambda: len(rig.ledger.outstanding) > _BACKLOG, 20, "a backlog")
    rig.gateway.signal(signal.SIGSTOP)
    rig.ledger.destroyed = damage_database(rig.outbox / "outbox.sqlite3", random.Random(2))
    await rig.proxy.listen()
    rig.gateway.signal(signal.SIGCONT)
    await _assert_damage_reported(rig)


def _changes(rig: Rig) -> list[str]:
    """Return the changes of the outbox that the gateway logged, in order."""
    return [line["change"] for line in rig.gateway.log if line["event"] == "outbox"]


async def _assert_damage_reported(rig: Rig) -> None:
    """Check that the damage and each loss were reported, and that everything works again."""
    event = await rig.wait_for_event("outbox", change="corrupt")
    await rig.wait_for_flow()
    verdict = await rig.verdict(20)
    assert verdict.good, str(verdict)
    assert set(rig.ledger.reasons()) <= {"damaged", "stopped"}
    (damaged_file,) = rig.outbox.glob("*.corrupt-*[0-9]")
    # It had another name while its rows were copied.
    assert damaged_file.name.removeprefix("outbox.corrupt") in str(event.fields["detail"])
    await inject(rig, faults.stop_in_outage)
