"""What can go wrong with the outbox's disk and file, and with the power; see ``faults``."""

import random

from tests.chaos.faults import wait
from tests.chaos.rig import Rig


async def refused_writes(rig: Rig, rng: random.Random) -> None:
    """The card takes nothing while the broker is away, and later does."""
    known = len(rig.gateway.log)
    rig.gateway.refuse_writes()
    await rig.proxy.refuse()
    await rig.gateway.logged("outbox", since=known, change="degraded")
    await wait(rng.uniform(0, 2))
    await rig.proxy.listen()
    await rig.flowing()  # also while the disk fails
    rig.gateway.allow_writes()
    await rig.gateway.logged("outbox", since=known, change="recovered", at_most=30)


async def delete_database(rig: Rig, rng: random.Random) -> None:
    """Somebody removes the outbox's file while there are samples in it."""
    known = len(rig.gateway.log)
    await rig.proxy.refuse()
    await wait(rng.uniform(3, 4))
    for file in rig.outbox.glob("outbox.sqlite3*"):
        file.unlink()
    await rig.gateway.logged("outbox", since=known, change="deleted")
    await rig.proxy.listen()


async def full_disk(rig: Rig, rng: random.Random) -> None:
    """There is not one block left, and the broker is away."""
    assert rig.disk is not None
    ballast = rig.disk.fill()
    await rig.proxy.refuse()
    await wait(rng.uniform(3, 4))
    await rig.proxy.listen()
    await rig.flowing()
    ballast.unlink()


async def cut_power(rig: Rig, rng: random.Random) -> None:
    """The machine is gone, and boots again; the broker is another machine."""
    assert rig.disk is not None
    if rng.random() < 0.5:
        await rig.proxy.refuse()
        await wait(rng.uniform(0.5, 4))
    # First the disk, so that nothing is written that a real cut would have prevented.
    await rig.kill_gateway(without_disk=True)
    await rig.disk.unmount()
    await rig.disk.mount()
    rig.reboot()
    await rig.gateway.start()
    if not rig.proxy.listens:
        await rig.proxy.listen()
