"""One scanner and one connect at a time, and which peripheral gets which device."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bleak.exc import BleakError

from healthd.central.faults import AdapterGone, LinkFault, LinkLost, NotBack
from healthd.central.link import Advertisement
from healthd.central.match import Match
from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.gateway.entry import match_for
from healthd.settings.model import PeripheralSettings
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import (
    BOUND_S,
    Stage,
    address,
    by_address,
    by_name,
    by_service,
    cancel,
)


class Search:
    """A search in the background, which keeps what it found until ``leave``."""

    def __init__(self, stage: Stage, radio: Radio, entry: PeripheralSettings) -> None:
        self._match: Match = match_for(entry, stage.registry)
        self._radio = radio
        self._found: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name="search")

    async def _run(self) -> None:
        async with self._radio.found(self._match) as found:
            self._found.set_result(found)
            await self._leaving.wait()

    @property
    def is_done(self) -> bool:
        return self._found.done()

    async def found(self) -> str:
        """Wait for the address that it finds."""
        return (await asyncio.shield(self._found)).address

    async def advertisement(self) -> Advertisement:
        return await asyncio.shield(self._found)

    async def leave(self) -> None:
        self._leaving.set()
        await self.task


async def heard_again(stage: Stage, name: str, times: int = 5) -> None:
    """Wait until the scanner has heard a device several more times."""
    enough = stage.traffic.heard.get(name, 0) + times
    await stage.traffic.until(lambda: stage.traffic.heard.get(name, 0) >= enough)


async def test_scans_only_during_a_search(stage: Stage) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        await asyncio.sleep(0)
        assert stage.traffic.scans == 0
        search = Search(stage, radio, entry)
        await stage.traffic.until(lambda: stage.traffic.scanning)
        strap = await stage.strap()
        assert await search.found() == strap.address
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        await search.leave()
        assert stage.traffic.scans == 1


async def test_one_scanner_for_many_searches(stage: Stage) -> None:
    entries = [by_address(number, f"p{number}") for number in range(1, 5)]
    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        searches = [Search(stage, radio, entry) for entry in entries]
        for number in range(1, 5):
            await stage.strap(f"Strap {number}", number)
        assert [await search.found() for search in searches] == [address(n) for n in range(1, 5)]
        assert stage.traffic.most_scanning == 1
        for search in searches:
            await search.leave()


async def test_a_cancelled_search_stops_the_scanner(stage: Stage) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        search = Search(stage, radio, entry)
        await stage.traffic.until(lambda: stage.traffic.scanning)
        await cancel(search.task)
        await stage.traffic.until(lambda: not stage.traffic.scanning)


async def test_a_search_that_is_cancelled_just_before_its_device_is_heard(stage: Stage) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        strap = await stage.strap()
        first = Search(stage, radio, entry)
        await first.found()
        await first.leave()
        await strap.vanish()
        second = Search(stage, radio, entry)
        await stage.traffic.until(lambda: stage.traffic.scanning)
        second.task.cancel()
        stage.traffic.repeat_last()  # before the search has handled its cancellation
        await asyncio.wait([second.task])
        assert second.task.cancelled()
        await strap.appear()
        third = Search(stage, radio, entry)
        assert await third.found() == strap.address
        await third.leave()


async def test_a_failed_scan_is_reported_and_the_search_continues(stage: Stage) -> None:
    entry = by_address()
    radio = Radio(stage.backends, Slots(5))
    radio.add(match_for(entry, stage.registry))
    stage.traffic.scan_fault = BleakError("[org.bluez.Error.NotReady] Resource Not Ready")
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        search = Search(stage, radio, entry)
        healthy: list[bool] = []
        with pytest.raises(LinkFault) as caught:
            await radio.run(lambda: healthy.append(True))
        assert caught.value.reason == "adapter_off"
        assert healthy == []
        stage.traffic.scan_fault = None
        running = asyncio.create_task(radio.run(lambda: healthy.append(True)))
        found = await search.advertisement()
        assert healthy == [True]
        async with radio.link(found):
            assert strap.linked.is_set()
        await search.leave()
        await cancel(running)


async def test_the_scanner_pauses_while_a_link_is_made(stage: Stage) -> None:
    here, away = by_address(1, "here"), by_address(2, "away")
    async with asyncio.timeout(BOUND_S), stage.radio(here, away) as radio:
        await stage.strap()
        missing = Search(stage, radio, away)
        await stage.traffic.until(lambda: stage.traffic.scanning)
        search = Search(stage, radio, here)
        found = await search.advertisement()
        assert stage.traffic.scanning == 1  # for the device that is missing
        async with radio.link(found):
            assert stage.traffic.clients == 1
            assert not stage.traffic.overlapped
            await stage.traffic.until(lambda: stage.traffic.scanning)
        await stage.strap("Late", 2)
        assert await missing.found() == address(2)
        for each in (search, missing):
            await each.leave()


async def test_one_link_is_made_at_a_time(stage: Stage) -> None:
    entries = [by_address(number, f"p{number}") for number in range(1, 5)]

    async def link(radio: Radio, found: Advertisement) -> None:
        async with radio.link(found):
            await linked.wait()

    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        linked = asyncio.Event()
        straps = [await stage.strap(f"Strap {number}", number) for number in range(1, 5)]
        searches = [Search(stage, radio, entry) for entry in entries]
        found = [await search.advertisement() for search in searches]
        async with asyncio.TaskGroup() as tasks:
            for device in found:
                tasks.create_task(link(radio, device))
            for strap in straps:
                await strap.linked.wait()
            linked.set()
        assert (stage.traffic.clients, stage.traffic.most_connecting) == (4, 1)
        assert not stage.traffic.overlapped
        for search in searches:
            await search.leave()


async def test_other_connects_follow_a_failed_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, here = by_address(1, "gone"), by_address(2, "here")
    async with asyncio.timeout(BOUND_S), stage.radio(gone, here) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, gone)
        found = await search.advertisement()
        await strap.vanish()
        # Only for the connect that cannot succeed: the other one may take longer.
        with monkeypatch.context() as impatient, pytest.raises(LinkFault):
            impatient.setattr("bleak_retry_connector.BLEAK_TIMEOUT", 0.1)
            async with radio.link(found):
                pytest.fail("linked to a device that is not there")
        other = Search(stage, radio, here)
        await stage.strap("Here", 2)
        async with radio.link(await other.advertisement()):
            pass
        for each in (search, other):
            await each.leave()


@pytest.fixture
def short_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each link count as one that lasted."""
    monkeypatch.setattr("healthd.central.recent._LASTED_S", 0.0)


async def lose_link(radio: Radio, found: Advertisement, end: Callable[[], Awaitable[None]]) -> None:
    """Make a link, let ``end`` end it, and wait for the end."""
    with pytest.raises(LinkLost):
        async with radio.link(found) as link:
            await end()
            await link.lost()


@pytest.mark.usefixtures("short_links")
async def test_after_a_link_that_lasted_the_device_is_connected_without_a_search(
    stage: Stage,
) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, entry)
        await lose_link(radio, await search.advertisement(), strap.drop)
        await search.leave()
        assert stage.traffic.scans == 1
        again = Search(stage, radio, entry)
        found = await again.advertisement()
        assert (found.address, found.is_recent) == (address(1), True)
        async with radio.link(found):
            assert strap.linked.is_set()
        assert stage.traffic.scans == 1
        await again.leave()


@pytest.mark.usefixtures("short_links")
async def test_a_device_that_is_gone_is_searched_for_after_a_moment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, other = by_address(1, "gone"), by_address(2, "other")
    monkeypatch.setattr("healthd.central.link._BACK_S", 0.05)
    async with asyncio.timeout(BOUND_S), stage.radio(entry, other) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, entry)
        await lose_link(radio, await search.advertisement(), strap.vanish)
        await search.leave()
        again = Search(stage, radio, entry)
        with pytest.raises(NotBack):
            async with radio.link(await again.advertisement()):
                pytest.fail("linked to a device that is not there")
        await again.leave()
        # The radio is free for others, and the device is found when it is back.
        await stage.strap("Other", 2)
        neighbour, third = Search(stage, radio, other), Search(stage, radio, entry)
        async with radio.link(await neighbour.advertisement()):
            await strap.appear()
            found = await third.advertisement()
            assert not found.is_recent
            async with radio.link(found):
                assert strap.linked.is_set()
        await neighbour.leave()
        await third.leave()


async def test_after_a_link_that_ended_soon_the_device_is_searched_for(stage: Stage) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, entry)
        await lose_link(radio, await search.advertisement(), strap.drop)
        await search.leave()
        again = Search(stage, radio, entry)
        assert not (await again.advertisement()).is_recent
        assert stage.traffic.scans == 2
        await again.leave()


@pytest.mark.usefixtures("short_links")
async def test_of_many_that_lose_their_links_one_is_connected_without_a_search(
    stage: Stage,
) -> None:
    entries = [by_address(number, f"p{number}") for number in range(1, 5)]

    async def stay(radio: Radio, found: Advertisement) -> None:
        async with radio.link(found):
            await done.wait()

    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        done = asyncio.Event()
        straps = [await stage.strap(f"Strap {number}", number) for number in range(1, 5)]
        searches = [Search(stage, radio, entry) for entry in entries]
        founds = [await search.advertisement() for search in searches]
        together = asyncio.Barrier(len(straps))
        async with asyncio.TaskGroup() as tasks:
            for strap, found in zip(straps, founds, strict=True):

                async def end(strap: VirtualPeripheral = strap) -> None:
                    await together.wait()
                    await strap.drop()

                tasks.create_task(lose_link(radio, found, end))
        for search in searches:
            await search.leave()
        again = [Search(stage, radio, entry) for entry in entries]
        async with asyncio.TaskGroup() as tasks:
            for search in again:
                found = await search.advertisement()
                tasks.create_task(stay(radio, found))
            for strap in straps:
                await strap.linked.wait()
            done.set()
        recent = [(await search.advertisement()).is_recent for search in again]
        assert recent == [True, False, False, False]
        assert stage.traffic.most_connecting == 1
        assert not stage.traffic.overlapped
        for search in again:
            await search.leave()


async def test_the_link_is_closed_however_the_block_ends(stage: Stage) -> None:
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, entry)
        with pytest.raises(KeyError, match="x"):
            async with radio.link(await search.advertisement()):
                assert strap.linked.is_set()
                raise KeyError("x")
        await strap.unlinked.wait()
        await search.leave()


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_failed_disconnect_does_not_hide_why_the_block_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr("healthd.central.link._CLOSE_TIMEOUT_S", 0.1)
    entry = by_address()
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        await stage.strap()
        search = Search(stage, radio, entry)
        found = await search.advertisement()
        linked = asyncio.Event()

        async def hold() -> None:
            async with radio.link(found):
                linked.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await linked.wait()
        stage.traffic.disconnect_hangs = hangs
        stage.traffic.disconnect_fault = EOFError()
        await cancel(holding)
        await search.leave()
        assert holding.cancelled()


async def test_two_peripherals_with_the_same_name_get_two_devices(stage: Stage) -> None:
    entries = [by_name("Polar*", "one"), by_name("Polar*", "two")]
    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        searches = [Search(stage, radio, entry) for entry in entries]
        await stage.strap("Polar 1", 1)
        first = await searches[0].found()
        await heard_again(stage, "Polar 1")
        assert not searches[1].is_done
        await stage.strap("Polar 2", 2)
        assert {first, await searches[1].found()} == {address(1), address(2)}
        for search in searches:
            await search.leave()


async def test_a_device_is_free_again_when_its_session_ends(stage: Stage) -> None:
    entries = [by_name("Polar*", "one"), by_name("Polar*", "two")]
    async with asyncio.timeout(BOUND_S), stage.radio(*entries) as radio:
        await stage.strap("Polar 1")
        first = Search(stage, radio, entries[0])
        await first.found()
        second = Search(stage, radio, entries[1])
        await heard_again(stage, "Polar 1")
        assert not second.is_done
        await first.leave()
        assert await second.found() == address(1)
        await second.leave()


@pytest.mark.parametrize("specific", [by_address(1), by_name("Polar*")], ids=["address", "name"])
async def test_a_service_does_not_get_the_device_of_a_more_specific_peripheral(
    stage: Stage, specific: PeripheralSettings
) -> None:
    vague = by_service()
    async with asyncio.timeout(BOUND_S), stage.radio(vague, specific) as radio:
        await stage.strap("Polar 1", 1)
        any_strap = Search(stage, radio, vague)
        await heard_again(stage, "Polar 1")
        assert not any_strap.is_done  # although the specific peripheral is not searching now
        await stage.strap("Other", 2)
        assert await any_strap.found() == address(2)
        polar = Search(stage, radio, specific)
        assert await polar.found() == address(1)
        for search in (any_strap, polar):
            await search.leave()


async def test_a_name_does_not_get_the_device_of_an_address(stage: Stage) -> None:
    vague, specific = by_name("Polar*"), by_address(1)
    async with asyncio.timeout(BOUND_S), stage.radio(vague, specific) as radio:
        await stage.strap("Polar 1", 1)
        searches = [Search(stage, radio, vague), Search(stage, radio, specific)]
        assert await searches[1].found() == address(1)
        await heard_again(stage, "Polar 1")
        assert not searches[0].is_done
        for search in searches:
            await cancel(search.task)


async def test_once_a_specific_peripheral_has_its_device_similar_ones_are_free(
    stage: Stage,
) -> None:
    vague, specific = by_service(), by_name("Polar*")
    async with asyncio.timeout(BOUND_S), stage.radio(vague, specific) as radio:
        await stage.strap("Polar 1", 1)
        polar = Search(stage, radio, specific)
        await polar.found()
        await stage.strap("Polar 2", 2)
        any_strap = Search(stage, radio, vague)
        assert await any_strap.found() == address(2)
        for search in (polar, any_strap):
            await search.leave()


async def test_a_listener_keeps_the_scanner_running_except_during_connects(
    stage: Stage,
) -> None:
    entry = by_address(2)
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        await stage.strap("Here", 1)
        heard: set[str] = set()
        changed = asyncio.Event()

        def listener(found: Advertisement) -> None:
            heard.add(found.address)
            changed.set()

        assert stage.traffic.scans == 0, "there is no search"
        with radio.listening(listener):
            while address(1) not in heard:
                changed.clear()
                await changed.wait()
            search = Search(stage, radio, entry)
            await stage.strap("Wanted", 2)
            found = await search.advertisement()
            async with radio.link(found):
                assert [device.address for device in radio.linked] == [address(2)]
                await heard_again(stage, "Here")
            await search.leave()
            await heard_again(stage, "Here")
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        assert heard == {address(1), address(2)}
        assert stage.traffic.most_scanning == 1
        assert not stage.traffic.overlapped
        assert radio.linked == []


async def test_a_better_description_ends_the_link_and_a_waiting_connect(
    stage: Stage,
) -> None:
    vague, exact = by_service(), by_address(1)
    async with asyncio.timeout(BOUND_S), stage.radio(vague) as radio:
        strap = await stage.strap()
        search = Search(stage, radio, vague)
        found = await search.advertisement()
        async with radio.link(found) as link:
            radio.add(match_for(exact, stage.registry))
            with pytest.raises(LinkFault) as caught:
                await link.lost()
        assert caught.value.reason == "reassigned"
        # The same for a connect that has not started yet.
        with pytest.raises(LinkFault) as caught:
            async with radio.link(found):
                pass
        assert caught.value.reason == "reassigned"
        assert stage.traffic.clients == 1, "the second connect was not even started"
        await search.leave()
        again, better = Search(stage, radio, vague), Search(stage, radio, exact)
        assert await better.found() == strap.address
        assert not again.is_done
        await better.leave()
        radio.remove(exact.id)
        assert await again.found() == strap.address
        await again.leave()


class Inbox:
    """A receiver that counts what it gets."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.rivals: list[tuple[str, str]] = []
        self.losses: list[str] = []

    def on_broadcast(self, found: Advertisement) -> None:
        self.addresses.append(found.address)

    def on_rivals(self, addresses: tuple[str, str]) -> None:
        self.rivals.append(addresses)

    def on_lost(self, fault: AdapterGone) -> None:
        self.losses.append(fault.reason)


async def test_the_scanner_runs_for_broadcasts_and_pauses_for_connects(stage: Stage) -> None:
    entry = by_address(2)
    async with asyncio.timeout(BOUND_S), stage.radio(entry) as radio:
        await stage.strap("Here", 1)
        assert stage.traffic.scans == 0, "there is no search"
        inbox = Inbox()
        with radio.broadcasts(match_for(by_name("Here"), stage.registry), inbox):
            await heard_again(stage, "Here")
            search = Search(stage, radio, entry)
            await stage.strap("Wanted", 2)
            async with radio.link(await search.advertisement()):
                await heard_again(stage, "Here")
            await search.leave()
            await heard_again(stage, "Here")
        await stage.traffic.until(lambda: not stage.traffic.scanning)
        assert stage.traffic.most_scanning == 1
        assert not stage.traffic.overlapped
        assert inbox.addresses == [], "it advertises nothing that is wanted"
