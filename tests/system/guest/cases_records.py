"""A meter with a memory: what it stores is asked for, over links that break off."""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from bumble.core import UUID
from bumble.gatt import Characteristic

from healthd.simulator.health.glucose import Memory, meter_part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import RECOVERY_S, SERVICE, START_S, World

# A transfer of some seconds, of which each break leaves something to do.
_RECORDS = 160
_RECORD_ACCESS = UUID.from_16_bits(0x2A52)


def _memory() -> Memory:
    until_when = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - the device knows no time zone
    return Memory(random.Random(1), stored=_RECORDS, until=until_when)


def glucose_meter(
    name: str, address: str, _heart: NumberedHeart, *, period: float, record: Any
) -> VirtualPeripheral:
    """A meter with a full memory, which only those may read who are paired with it."""
    part = meter_part(_memory())
    for one in part.payloads:
        if one.uuid == _RECORD_ACCESS:
            one.permissions |= Characteristic.WRITE_REQUIRES_ENCRYPTION
    return VirtualPeripheral(name, address, [part], record=record)


@case()
async def records(world: World) -> None:
    """Links and healthd itself break off in a transfer: each record arrives, and has one id."""
    meter = await world.strap("meter", build=glucose_meter)
    world.configure(own={meter.id: 'every = "1h"\npair = true'})
    await world.start()
    breaks: tuple[Callable[[], Awaitable[object]], ...] = (
        meter.peripheral.drop,
        lambda: vm.run("systemctl", "kill", "--signal=KILL", SERVICE),
        meter.peripheral.drop,
    )
    timeout_s = START_S + RECOVERY_S
    for number, break_off in enumerate(breaks, start=1):
        wanted = number * _RECORDS // (len(breaks) + 1)
        await until(lambda wanted=wanted: len(_ids(world)) >= wanted, "records come", timeout_s)
        if (come := len(_ids(world))) == _RECORDS:
            raise Failed("all records had come before the link broke off")
        world.notes.append(f"broken off at {come} of {_RECORDS}")
        await break_off()
    await until(lambda: len(_ids(world)) == _RECORDS, "all records come", timeout_s)
    await until(lambda: world.broker.fetches, "the run ends")
    if (outcome := world.broker.fetches[-1]["outcome"]) != "new_data":
        raise Failed(f"expected new_data, found {outcome}")
    ids = _ids(world)
    if sorted(ids) != [record.key for record in _memory().records]:
        raise Failed("other records came than there are")
    if doubled := {number: names for number, names in ids.items() if len(names) > 1}:
        raise Failed(f"records with several ids: {doubled}")


def _ids(world: World) -> dict[int, set[str]]:
    """By the number of a record, the ids with which it came."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for one in world.results["meter", "glucose"]:
        found[one["sequence_number"]].add(one["id"])
    return found
