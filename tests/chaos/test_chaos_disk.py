"""What the disk can do to the outbox, and what nobody should do to its file."""

import asyncio
import os
import random
import signal

import pytest

from tests.chaos import disk_faults, faults
from tests.chaos.conftest import Start, assert_all_there, at_once, suffer
from tests.chaos.damage import garble
from tests.chaos.disk import needs_disk
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]

_BACKLOG = 300
# What the outbox leaves of a disk that is smaller than its quota: a step of its growth.
_OTHERS_BYTES = 1 << 20


async def test_writes_fail_for_a_while(start: Start) -> None:
    twice = (disk_faults.refused_writes, disk_faults.refused_writes)
    plans = Plan(rate=50), Plan(write="through", rate=50)
    for rig in await at_once(start, *((plan, twice) for plan in plans)):
        assert _changes(rig) == ["degraded", "recovered"] * 2


async def test_writes_fail_while_the_broker_is_there(start: Start) -> None:
    """Written through: live samples go on, in order, also where a commit takes some with it."""
    rig = await start(Plan(write="through", rate=150))
    for _ in range(3):
        known = len(rig.gateway.log)
        rig.gateway.refuse_writes()
        await rig.gateway.logged("outbox", since=known, change="degraded")
        await rig.flowing(3)
        rig.gateway.allow_writes()
        await rig.gateway.logged("outbox", since=known, change="recovered")
        await rig.flowing(3)
    await assert_all_there(rig)


@needs_disk
async def test_the_file_system_goes_read_only(start: Start) -> None:
    """As ext4 does when it meets an error; only unmounting ends it."""
    rig = await start(Plan(loop_disk=True))
    assert rig.disk is not None
    rig.disk.fail()
    known = len(rig.gateway.log)
    await rig.proxy.refuse()
    await rig.gateway.logged("outbox", since=known, change="degraded")
    await faults.wait(3)
    await rig.proxy.listen()
    await rig.flowing()
    await assert_all_there(rig)
    assert _changes(rig) == ["degraded"], "said once, and not taken back while it lasts"
    # A restart meanwhile must not be the end of it.
    await rig.gateway.stop()
    await rig.gateway.start()
    await rig.flowing()


@needs_disk
async def test_full_disk(start: Start) -> None:
    full = (disk_faults.full_disk,)
    plans = Plan(loop_disk=True), Plan(write="through", loop_disk=True)
    for rig in await at_once(start, *((plan, full) for plan in plans)):
        assert not _changes(rig), "its space was its own"


@needs_disk
async def test_a_disk_smaller_than_the_quota(start: Start) -> None:
    """What the disk has less is less quota: the store works, and others still find space."""
    rig = await start(Plan(loop_disk=True, max_size="200MB"))
    assert rig.disk is not None
    free, known = -1, os.statvfs(rig.disk.mount_point).f_bavail
    while free != known:
        await faults.wait(1)
        free, known = known, os.statvfs(rig.disk.mount_point).f_bavail
    await suffer(rig, faults.stop_in_outage, faults.kill_in_outage)
    left = os.statvfs(rig.disk.mount_point)
    assert left.f_bavail * left.f_frsize > _OTHERS_BYTES, "others find no space"


@needs_disk
async def test_power_cut(start: Start) -> None:
    cuts = (disk_faults.cut_power,) * 3
    plans = Plan(loop_disk=True), Plan(write="through", loop_disk=True)
    await at_once(start, *((plan, cuts) for plan in plans), seed=3)


async def test_deleted_and_garbled(start: Start) -> None:
    deleted = (disk_faults.delete_database,)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(at_once(start, (Plan(), deleted), (Plan(write="through"), deleted)))
        tasks.create_task(_garbled_while_stopped(start))
        tasks.create_task(_garbled_while_running(start))


async def _garbled_while_stopped(start: Start) -> None:
    rig = await start(Plan())
    await rig.proxy.refuse()
    await rig.until(lambda: len(rig.ledger.outstanding) > _BACKLOG, 20, "a backlog")
    await rig.gateway.stop()
    rig.ledger.destroyed = garble(rig.outbox / "outbox.sqlite3", random.Random(1))
    await rig.gateway.start()
    await rig.proxy.listen()
    await _assert_told_and_going_on(rig)


async def _garbled_while_running(start: Start) -> None:
    rig = await start(Plan())
    await rig.proxy.refuse()
    await rig.until(lambda: len(rig.ledger.outstanding) > _BACKLOG, 20, "a backlog")
    rig.gateway.signal(signal.SIGSTOP)
    rig.ledger.destroyed = garble(rig.outbox / "outbox.sqlite3", random.Random(2))
    await rig.proxy.listen()
    rig.gateway.signal(signal.SIGCONT)
    await rig.event("outbox", change="corrupt")
    # What it still put into the damaged file until it found out is in there too; what was younger
    # than a second then cannot be.
    all_ = rig.ledger.accepted
    found_out = next(one.mono_ns for one in all_ if one.key.stream == "event/outbox")
    rig.ledger.destroyed |= {one.key for one in all_ if one.mono_ns < found_out - 10**9}
    await _assert_told_and_going_on(rig)


def _changes(rig: Rig) -> list[str]:
    """What the gateway said of its outbox, in order."""
    return [line["change"] for line in rig.gateway.log if line["event"] == "outbox"]


async def _assert_told_and_going_on(rig: Rig) -> None:
    event = await rig.event("outbox", change="corrupt")
    aside = list(rig.outbox.glob("*.corrupt-*"))
    assert len(aside) == 1
    assert aside[0].name in str(event.fields["detail"])
    await rig.flowing()
    verdict = await rig.verdict(20)
    assert verdict.good, str(verdict)
    assert verdict.destroyed > 0
    # And from now on it works as ever.
    await suffer(rig, faults.stop_in_outage)
