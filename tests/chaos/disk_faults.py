"""Faults of the outbox's disk, of its file, and of the power; see ``faults``."""

import os
import random

from tests.chaos.faults import wait
from tests.chaos.rig import Rig


async def refused_writes(rig: Rig, rng: random.Random) -> None:
    """Writes fail for a while, also while the broker is unreachable."""
    known = len(rig.gateway.log)
    rig.gateway.refuse_writes()
    await rig.proxy.refuse()
    await rig.gateway.logged("outbox", since=known, change="degraded")
    await wait(rng.uniform(0, 2))
    await rig.proxy.listen()
    await rig.wait_for_flow()  # even while writes fail
    rig.gateway.allow_writes()
    await rig.gateway.logged("outbox", since=known, change="recovered", at_most=30)


async def delete_database(rig: Rig, rng: random.Random) -> None:
    """The outbox's file is deleted while it has samples."""
    known = len(rig.gateway.log)
    await rig.proxy.refuse()
    await wait(rng.uniform(3, 4))
    for file in rig.outbox.glob("outbox.sqlite3*"):
        file.unlink()
    await rig.gateway.logged("outbox", since=known, change="deleted")
    await rig.proxy.listen()


async def full_disk(rig: Rig, rng: random.Random) -> None:
    """The disk has no free block, and the broker is unreachable."""
    assert rig.disk is not None
    ballast = rig.disk.fill()
    await rig.proxy.refuse()
    await wait(rng.uniform(3, 4))
    await rig.proxy.listen()
    await rig.wait_for_flow()
    ballast.unlink()
    # A power cut may follow: without this the file could be back after it, and the disk full.
    folder = os.open(ballast.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


async def cut_power(rig: Rig, rng: random.Random) -> None:
    """The gateway's machine loses power and boots again; the broker is on another machine."""
    assert rig.disk is not None
    if rng.random() < 0.5:
        await rig.proxy.refuse()
        await wait(rng.uniform(0.5, 4))
    # The disk first, so that nothing is written that a real power cut would have prevented.
    await rig.kill_gateway(without_disk=True)
    await rig.disk.unmount()
    await rig.disk.mount()
    rig.reboot()
    await rig.gateway.start()
    if not rig.proxy.listens:
        await rig.proxy.listen()
