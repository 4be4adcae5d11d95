"""What devices advertise, on its way from BlueZ to those who want it, and what is left out.

The bus is a real dbus-daemon, and bleak is the real one; bluetoothd is a fake.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from bleak.backends.bluezdbus.manager import get_global_bluez_manager

from healthd.central.faults import LinkFault
from healthd.central.focus import Mode
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.central.match import By, Match
from healthd.central.scanner import discard_bluez, scanning
from tests.support.bluez import BOUND_S, BlueZ, Bus, needs_dbus, strap

pytestmark = needs_dbus

MINE = "C0:00:00:00:00:01"
FULL = "0000181d-0000-1000-8000-00805f9b34fb"
LONG = "a0520001-0000-4000-8000-000000000001"
KEYS = ("service_data_181d", f"service_data_{LONG}", "manufacturer_data_0157")
BY_NAME = Match("mine", By.NAME, "Mine*")


class Scan:
    """A scan, and what it hears."""

    def __init__(self, *keys: str, everyone: bool = False) -> None:
        self.interest = Interest(keys, everyone=everyone)
        self.heard: list[Advertisement] = []
        self.foreign = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def running(self, mode: Mode | None = None) -> AsyncGenerator[None]:
        mode = mode or Mode()
        async with scanning(
            Backends(), "hci0", self.interest, self._on_wanted, self._on_foreign, mode
        ):
            yield

    def _on_wanted(self, found: Advertisement) -> None:
        self.heard.append(found)
        self._changed.set()

    def _on_foreign(self) -> None:
        self.foreign += 1
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def more(self, wanted: int = 0, foreign: int = 0) -> list[Advertisement]:
        """Wait for this many more advertisements, and return those that are wanted."""
        first, before = len(self.heard), self.foreign
        await self.until(
            lambda: len(self.heard) >= first + wanted and self.foreign >= before + foreign
        )
        return self.heard[first:]


@pytest.fixture(autouse=True)
async def clean() -> AsyncIterator[None]:
    yield
    discard_bluez()
    await asyncio.sleep(0)


def device(**more: Any) -> dict[str, Any]:
    return strap(MINE, "Mine", uuids=[], **more)


async def test_advertised_data_arrives_under_its_keys(bus: Bus) -> None:
    data = {FULL: "22c8", LONG: "01", "0000fe9f-0000-1000-8000-00805f9b34fb": "99"}
    mine = device(service_data=data, manufacturer_data={"0157": "0203", "004c": "99"})
    scan = Scan(*KEYS)
    async with BlueZ(bus, mine, adapters={"hci0": True}) as bluez, scan.running():
        for found in await scan.more(3):
            assert found.data == dict(zip(KEYS, (b"\x22\xc8", b"\x01", b"\x02\x03"), strict=True))
        assert bluez.filters == [{"Transport": "le", "DuplicateData": True}]


async def test_two_kinds_of_payload_take_turns(bus: Bus) -> None:
    scan = Scan(*KEYS)
    first, second = {"0157": "01"}, {FULL: "02"}
    async with (
        BlueZ(bus, device(manufacturer_data=first), adapters={"hci0": True}) as bluez,
        scan.running(),
    ):
        for _ in range(3):
            to = {"manufacturer_data": None, "service_data": second}
            await bluez.do("set", address=MINE, to=to)
            await scan.until(lambda: scan.heard and scan.heard[-1].data == {KEYS[0]: b"\x02"})
            to = {"manufacturer_data": first, "service_data": None}
            await bluez.do("set", address=MINE, to=to)
            await scan.until(lambda: scan.heard[-1].data == {KEYS[2]: b"\x01"})
    assert all(len(found.data) == 1 for found in scan.heard), "what is old is not advertised now"


@pytest.mark.parametrize("connectable", [True, False])
async def test_data_of_an_earlier_scan_is_not_advertised_now(bus: Bus, connectable: bool) -> None:
    mine = device(manufacturer_data={"0157": "01"}, connectable=connectable)
    scan, again = Scan(*KEYS, everyone=True), Scan(*KEYS, everyone=True)
    async with BlueZ(bus, mine, adapters={"hci0": True}) as bluez:
        async with scan.running():
            await scan.until(lambda: scan.heard and scan.heard[-1].data)
        # The object of a device that can be connected stays, with its old data.
        await bluez.do("set", address=MINE, to={"manufacturer_data": None})
        async with again.running():
            await again.more(3)
    assert [found.data for found in again.heard] == [{}] * len(again.heard)


async def test_a_change_that_is_no_advertisement_has_no_data(bus: Bus) -> None:
    mine = device(manufacturer_data={"0157": "01"})
    scan = Scan(*KEYS, everyone=True)
    async with BlueZ(bus, mine, adapters={"hci0": True}) as bluez, scan.running():
        await scan.more(2)
        await bluez.do("silence", on=True)
        await scan_quiet(scan)
        await bluez.do("set", address=MINE, to={"name": "Mine 2"})
        await scan.until(lambda: scan.heard[-1].name == "Mine 2")
        assert scan.heard[-1].data == {}


async def scan_quiet(scan: Scan) -> None:
    """Wait until nothing arrives any more."""
    count = -1
    while count != len(scan.heard):
        count = len(scan.heard)
        await asyncio.sleep(0.5)


async def test_foreign_devices_are_left_out_and_counted(bus: Bus) -> None:
    scan = Scan(*KEYS)
    mine = device(service_data={FULL: "22"})
    async with BlueZ(bus, mine, adapters={"hci0": True}) as bluez:
        await bluez.do("foreign", adapter="hci0", count=20, per_s=200)
        async with scan.running():
            await scan.more(wanted=10, foreign=200)
            manager: Any = await get_global_bluez_manager()
            [callback] = manager._advertisement_callbacks["/org/bluez/hci0"]
            assert len(callback.__self__.seen_devices) == 1, "bleak keeps no foreign device"
    assert {found.address for found in scan.heard} == {MINE}


async def test_a_name_may_arrive_later(bus: Bus) -> None:
    nameless = strap(MINE, None, uuids=[], manufacturer_data={"004c": "01"})  # pyright: ignore
    scan = Scan()
    scan.interest.update([BY_NAME])
    async with BlueZ(bus, nameless, adapters={"hci0": True}) as bluez, scan.running():
        await scan.more(foreign=3)
        assert scan.heard == []
        await bluez.do("set", address=MINE, to={"name": "Mine 7"})
        assert {found.name for found in await scan.more(3)} == {"Mine 7"}


async def test_a_service_and_data_may_arrive_later(bus: Bus) -> None:
    scan = Scan()
    scan.interest.update([Match("any", By.SERVICE, "180d")], keys=["service_data_181d"])
    async with BlueZ(bus, device(), adapters={"hci0": True}) as bluez, scan.running():
        await scan.more(foreign=3)
        await bluez.do("set", address=MINE, to={"service_data": {FULL: "22"}})
        await scan.until(lambda: scan.heard and scan.heard[-1].data)
        await bluez.do("set", address=MINE, to={"service_data": None})
        await scan.more(foreign=3)
        to = {"uuids": ["0000180d-0000-1000-8000-00805f9b34fb"]}
        await bluez.do("set", address=MINE, to=to)
        await scan.until(lambda: scan.heard[-1].services == frozenset({"180d"}))


async def test_what_is_wanted_may_change_during_a_scan(bus: Bus) -> None:
    scan = Scan()
    async with BlueZ(bus, device(), adapters={"hci0": True}), scan.running():
        await scan.more(foreign=3)
        assert scan.heard == []
        scan.interest.update([BY_NAME])
        await scan.more(3)
        scan.interest.update([])
        await scan.more(foreign=3)
        scan.interest.update([], everyone=True)
        await scan.more(3)


async def test_bluez_itself_leaves_out_all_but_one_address(bus: Bus) -> None:
    scan = Scan(everyone=True)
    async with BlueZ(bus, device(), adapters={"hci0": True}) as bluez:
        await bluez.do("foreign", adapter="hci0", count=20, per_s=200)
        async with scan.running(Mode(MINE)):
            assert {found.address for found in await scan.more(10)} == {MINE}
        await bluez.filtered(2)
        assert bluez.filters[0]["Pattern"] == MINE
        assert bluez.filters[1] == {}, "the filter ends with the scan"


async def test_a_scan_that_fails_leaves_nothing_in_bleak(bus: Bus) -> None:
    scan = Scan(everyone=True)
    async with BlueZ(bus, device(), adapters={"hci0": True}) as bluez:
        await bluez.do("fail", members={"StartDiscovery": ["org.bluez.Error.InProgress", "busy"]})
        for _ in range(3):
            with pytest.raises(Exception, match="InProgress"):
                async with scan.running():
                    pytest.fail("the scan has started")
        await bluez.do("fail", members={})
        async with scan.running():
            await scan.more(2)
            manager: Any = await get_global_bluez_manager()
            assert len(manager._bus._user_message_handlers) == 2
        assert len(manager._bus._user_message_handlers) == 1


async def test_foreign_signals_are_read_in_batches_and_wanted_ones_are_not_lost(bus: Bus) -> None:
    scan = Scan(*KEYS)
    mine = device(service_data={FULL: "22"})
    loop, read_at = asyncio.get_running_loop(), list[float]()
    async with BlueZ(bus, mine, adapters={"hci0": True}) as bluez:
        await bluez.do("foreign", adapter="hci0", count=5, per_s=100)
        async with scan.running():
            await scan.more(foreign=50)  # by now all of them are known
            for _ in range(5):
                await scan.more(wanted=1, foreign=1)
                read_at.append(loop.time())
    pauses = [later - before for before, later in pairwise(read_at)]
    assert max(pauses) > 0.1, "foreign devices advertise every 10 ms, and are read 5 times a second"


async def test_the_bus_may_end_while_signals_wait(bus: Bus) -> None:
    scan = Scan()
    bluez = BlueZ(bus, device(), adapters={"hci0": True})
    await bluez.start()
    await bluez.do("foreign", adapter="hci0", count=5, per_s=100)
    with pytest.raises(LinkFault):
        async with scan.running():
            await scan.more(foreign=50)
            await bluez.kill()
            await bus.kill()
            await asyncio.sleep(0.5)
    await bus.start()
