"""A meter with stored records, which are fetched over links that break."""

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

# The transfer takes seconds, so that records are missing after each break.
_RECORDS = 160
_RECORD_ACCESS = UUID.from_16_bits(0x2A52)


def _memory() -> Memory:
    until_when = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - the device knows no time zone
    return Memory(random.Random(1), stored=_RECORDS, until=until_when)


def glucose_meter(
    name: str, address: str, _heart: NumberedHeart, *, period: float, record: Any
) -> VirtualPeripheral:
    """Make a meter with a full memory that can only be read over an encrypted link."""
    part = meter_part(_memory())
    for characteristic in part.payloads:
        if characteristic.uuid == _RECORD_ACCESS:
            characteristic.permissions |= Characteristic.WRITE_REQUIRES_ENCRYPTION
    return VirtualPeripheral(name, address, [part], record=record)


@case()
async def records(world: World) -> None:
    """If links break and healthd is killed in a transfer, each record arrives with one id."""
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
        await until(lambda wanted=wanted: len(_ids(world)) >= wanted, "records arrive", timeout_s)
        if (arrived := len(_ids(world))) == _RECORDS:
            raise Failed("all records had arrived before the link was broken")
        world.notes.append(f"broken at {arrived} of {_RECORDS}")
        await break_off()
    await until(lambda: len(_ids(world)) == _RECORDS, "all records arrive", timeout_s)
    await until(lambda: world.broker.fetches, "the run ends")
    if (outcome := world.broker.fetches[-1]["outcome"]) != "new_data":
        raise Failed(f"expected new_data, found {outcome}")
    ids = _ids(world)
    if sorted(ids) != [record.key for record in _memory().records]:
        raise Failed("other records arrived than the meter has")
    if doubled := {number: names for number, names in ids.items() if len(names) > 1}:
        raise Failed(f"records with several ids: {doubled}")


def _ids(world: World) -> dict[int, set[str]]:
    """Return the ids that each record number arrived with."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for result in world.results["meter", "glucose"]:
        found[result["sequence_number"]].add(result["id"])
    return found
