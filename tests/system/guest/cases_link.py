"""Faults of a single peripheral."""

import asyncio
import re

from bumble.hci import HCI_ErrorCode

from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import World

_PEER_ENDED = HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR
_TIMED_OUT = HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR

# BlueZ scans in windows of ten seconds: the strap appears in the third one.
_LATE_S = 25.0


def saw_end(world: World, address: str, reason: int) -> None:
    """Check that the adapter saw a link end for this reason."""
    reasons = world.radio.end_reasons(address)
    if reason not in reasons:
        raise Failed(f"the fault did not happen: links ended with {reasons}, not with {reason}")


@case()
async def link_is_lost(world: World) -> None:
    """A strap that disconnects, was out of range or is silent too long is connected again."""
    strap = await world.strap()
    await world.start_streaming(silence="5s")
    async with world.fault():
        await strap.peripheral.drop()
    saw_end(world, strap.address, _PEER_ENDED)
    await world.recovered(strap)
    await _journal_has_changes(world)
    async with world.fault():
        await strap.peripheral.vanish()
        saw_end(world, strap.address, _TIMED_OUT)
        await until(
            lambda: world.broker.state("strap").get("state") in ("searching", "waiting"),
            "healthd notices",
        )
        await strap.peripheral.appear()
    await world.recovered(strap)
    async with world.fault(takes_samples=False):
        strap.peripheral.go_silent()
        # Like a stalled strap it stays silent on this link; a new link fixes that.
        await until(lambda: strap.peripheral.unlinked.is_set(), "healthd ends the link")
        strap.peripheral.resume()
    await world.recovered(strap)


async def _journal_has_changes(world: World) -> None:
    # What the lines must not contain is checked after every case.
    lines = await world.journal.lines()
    states = [line for line in lines if re.search(r'"state":"(searching|streaming)"', line)]
    if len(states) < 4:
        raise Failed(f"expected searching and streaming, twice each, found: {lines}")


@case()
async def appears_late(world: World) -> None:
    """A strap put on long after the start is found; one of the same name is left alone."""
    other = await world.strap("other", name="Strap")
    wanted = await world.strap("wanted", name="Strap", in_range=False)
    world.configure([wanted])
    await world.start()
    await until(
        lambda: world.broker.state("wanted").get("state") == "searching", "healthd searches", 60
    )
    await asyncio.sleep(_LATE_S)
    async with world.fault():
        await wanted.peripheral.appear()
    await world.recovered(wanted)
    if other.peripheral.linked.is_set() or other.sent:
        raise Failed("the other device was connected")


@case()
async def absent_for_ever(world: World) -> None:
    """A strap that never appears does not disturb the others, even if one of them disconnects."""
    absent = await world.strap("absent", in_range=False)
    here = [await world.strap(f"here-{number}") for number in (1, 2)]
    world.configure()
    await world.start()
    await world.streaming(*here)
    async with world.fault():
        await here[0].peripheral.drop()
    saw_end(world, here[0].address, _PEER_ENDED)
    await world.recovered(*here)
    if absent.sent or world.broker.state("absent").get("state") not in ("searching", "connecting"):
        raise Failed(f"the absent strap is in state {world.broker.state('absent')}")
