"""Faults of a single peripheral."""

import asyncio

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
async def disconnects(world: World) -> None:
    """A strap that disconnects is connected again."""
    strap = await world.strap()
    await world.start_streaming()
    async with world.fault():
        await strap.peripheral.drop()
    saw_end(world, strap.address, _PEER_ENDED)
    await world.recovered(strap)


@case()
async def vanishes(world: World) -> None:
    """A strap that was out of range (its link timed out) is connected when it is back."""
    strap = await world.strap()
    await world.start_streaming()
    async with world.fault():
        await strap.peripheral.vanish()
        saw_end(world, strap.address, _TIMED_OUT)
        await until(
            lambda: world.broker.state("strap").get("state") in ("searching", "waiting"),
            "healthd notices",
        )
        await strap.peripheral.appear()
    await world.recovered(strap)


@case()
async def falls_silent(world: World) -> None:
    """A strap that stays connected but sends nothing is reconnected after its deadline."""
    strap = await world.strap()
    await world.start_streaming(silence="5s")
    async with world.fault(takes_samples=False):
        strap.peripheral.go_silent()
        # Like a stalled strap it stays silent on this link; a new link fixes that.
        await until(lambda: strap.peripheral.unlinked.is_set(), "healthd ends the link")
        strap.peripheral.resume()
    await world.recovered(strap)


@case()
async def appears_late(world: World) -> None:
    """A strap that is put on long after the start is found."""
    strap = await world.strap(in_range=False)
    world.configure()
    await world.start()
    await until(
        lambda: world.broker.state("strap").get("state") == "searching", "healthd searches", 60
    )
    await asyncio.sleep(_LATE_S)
    async with world.fault():
        await strap.peripheral.appear()
    await world.recovered(strap)


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


@case()
async def same_name(world: World) -> None:
    """Of two devices with the same name only the one with the wanted address is connected."""
    other = await world.strap("other", name="Strap")
    wanted = await world.strap("wanted", name="Strap", in_range=False)
    world.configure([wanted])
    await world.start()
    await until(
        lambda: world.broker.state("wanted").get("state") == "searching", "healthd searches", 60
    )
    async with world.fault():
        await wanted.peripheral.appear()
    await world.recovered(wanted)
    if other.peripheral.linked.is_set() or other.sent:
        raise Failed("the other device was connected")
