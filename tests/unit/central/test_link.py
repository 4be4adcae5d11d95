"""One link over real GATT: reading, ending, and closing in every case."""

import asyncio
import re

import pytest
from bleak.exc import BleakError
from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import CharacteristicValue, Service

from healthd.central.faults import AdapterGone, GaveWay, LinkFault, LinkLost
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends, Link
from healthd.central.scanner import scanning
from healthd.simulator.air import Air
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import BOUND_S, Stage, address, readable


async def heard(stage: Stage) -> Advertisement:
    """Return the first advertisement."""
    found: asyncio.Queue[Advertisement] = asyncio.Queue()
    async with scanning(stage.backends, None, Interest(), found.put_nowait):
        return await found.get()


async def opened(stage: Stage) -> Link:
    link = Link(await heard(stage))
    await link.open(stage.backends)
    return link


class Locked:
    """A peripheral with a value that it refuses, and one that it delays until ``answer`` is set."""

    def __init__(self) -> None:
        self.refused, self.asked, self.answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
        characteristics = [
            readable(0x2A29, CharacteristicValue(read=self._refuse)),
            readable(0x2A24, CharacteristicValue(read=self._wait)),
        ]
        part = Part(Service(UUID.from_16_bits(0x180A), characteristics), advertised=True)
        self.peripheral = VirtualPeripheral("Locked", address(9), [part])

    def _refuse(self, _: Connection) -> bytes:
        self.refused.set()
        raise ATT_Error(0x05)

    async def _wait(self, _: Connection) -> bytes:
        self.asked.set()
        await self.answer.wait()
        return b"late"


@pytest.fixture
async def locked(stage: Stage) -> Locked:
    locked = Locked()
    await stage.add(locked.peripheral)
    return locked


async def test_an_advertisement_is_normalised(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        await stage.strap("Polar H10 1")
        found = await heard(stage)
    assert (found.address, found.name) == (address(1), "Polar H10 1")
    assert found.services == {"180d"}
    assert found.rssi_dbm < 0
    assert stage.traffic.scanning == 0


async def test_services_and_characteristics_are_discovered(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        link = await opened(stage)
        assert strap.linked.is_set()
        assert {"180d", "180f", "180a"} <= link.services
        assert {"2a37", "2a38", "2a19", "2a29"} <= link.characteristics
        assert [link.can_notify(uuid) for uuid in ("2a37", "2a19", "2a29")] == [True, True, False]
        assert await link.read("2a29") == b"healthd"
        await link.close()
        await strap.unlinked.wait()


async def test_notified_values_arrive_as_bytes(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        link = await opened(stage)
        values: asyncio.Queue[object] = asyncio.Queue()
        await link.subscribe("2a37", values.put_nowait)
        assert strap.subscribed.is_set()
        assert type(await values.get()) is bytes
        await link.close()


@pytest.mark.parametrize("how", ["drop", "vanish"])
async def test_a_lost_link_ends_everything(stage: Stage, locked: Locked, how: str) -> None:
    async with asyncio.timeout(BOUND_S):
        link = await opened(stage)
        waiting = asyncio.create_task(link.lost())
        reading = asyncio.create_task(link.read("2a24"))
        await locked.asked.wait()
        await getattr(locked.peripheral, how)()
        assert locked.peripheral.unlinked.is_set()
        for task in (waiting, reading):
            with pytest.raises(LinkLost):
                await task
        with pytest.raises(LinkLost):
            await link.read("2a24")
        with pytest.raises(LinkLost):
            await link.subscribe("2a37", lambda _: None)
        await link.close()
        await link.close()
        locked.answer.set()


async def test_a_link_that_is_given_up_can_be_used_until_it_is_closed(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        await stage.strap()
        link = await opened(stage)
        link.give_up(GaveWay())
        with pytest.raises(GaveWay):
            await link.lost()
        assert await link.read("2a29")
        # The adapter may still go away; the first reason remains.
        link.lose(AdapterGone("adapter_off", "it is off"))
        with pytest.raises(GaveWay):
            await link.read("2a29")
        await link.close()


async def test_a_closed_link_is_lost(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        await stage.strap()
        link = await opened(stage)
        await link.close()
        with pytest.raises(LinkLost):
            await link.read("2a29")
        with pytest.raises(LinkLost):
            await link.lost()


async def test_a_refused_read_is_a_fault_and_the_link_remains(stage: Stage, locked: Locked) -> None:
    async with asyncio.timeout(BOUND_S):
        link = await opened(stage)
        with pytest.raises(LinkFault) as caught:
            await link.read("2a29")
        assert locked.refused.is_set()
        assert caught.value.reason == "not_paired"
        locked.answer.set()
        assert await link.read("2a24") == b"late"
        await link.close()


async def test_a_value_is_written_and_a_refused_one_is_a_fault(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        await stage.strap()
        link = await opened(stage)
        await link.write("2a39", b"\x01")
        with pytest.raises(LinkFault) as caught:
            await link.write("2a39", b"\x02")
        assert caught.value.reason == "gatt_error"
        assert await link.read("2a29") == b"healthd"
        await link.close()
        with pytest.raises(LinkLost):
            await link.write("2a39", b"\x01")


async def test_a_read_that_is_never_answered_is_bounded(
    stage: Stage, locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(BOUND_S):
        link = await opened(stage)
        monkeypatch.setattr("healthd.central.link._GATT_TIMEOUT_S", 0.1)
        with pytest.raises(LinkFault) as caught:
            await link.read("2a24")
        assert locked.asked.is_set()
        assert caught.value.reason == "timeout"
        locked.answer.set()
        await link.close()


async def test_a_peripheral_that_went_away_is_not_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleak_retry_connector.BLEAK_TIMEOUT", 0.1)
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        found = await heard(stage)
        await strap.vanish()
        with pytest.raises(LinkFault) as caught:
            await Link(found).open(stage.backends)
    assert caught.value.reason == "not_found"
    assert not strap.linked.is_set()


async def test_a_connect_that_never_ends_is_bounded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.link._CONNECT_TIMEOUT_S", 0.1)
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        found = await heard(stage)
        await strap.vanish()
        with pytest.raises(LinkFault) as caught:
            await Link(found).open(stage.backends)
    assert caught.value.reason == "timeout"
    assert stage.traffic.connecting == 0


@pytest.mark.parametrize(
    "error", [BleakError("Not connected"), EOFError(), BrokenPipeError()], ids=repr
)
async def test_close_handles_a_broken_stack(stage: Stage, error: Exception) -> None:
    async with asyncio.timeout(BOUND_S):
        strap = await stage.strap()
        link = await opened(stage)
        stage.traffic.disconnect_fault = error
        await link.close()
        await strap.unlinked.wait()


async def test_close_handles_a_stack_that_does_not_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.link._CLOSE_TIMEOUT_S", 0.1)
    async with asyncio.timeout(BOUND_S):
        await stage.strap()
        link = await opened(stage)
        stage.traffic.disconnect_hangs = True
        await link.close()


async def test_close_does_not_hide_a_bug(stage: Stage) -> None:
    async with asyncio.timeout(BOUND_S):
        await stage.strap()
        link = await opened(stage)
        stage.traffic.disconnect_fault = KeyError("x")
        with pytest.raises(KeyError):
            await link.close()


async def test_an_adapter_that_is_off_cannot_scan() -> None:
    air = Air()  # never powered
    with pytest.raises(LinkFault) as caught:
        async with scanning(Backends(air.scanner_backend), None, Interest(), lambda _: None):
            pytest.fail("it scans without an adapter")
    assert caught.value.reason == "adapter_unavailable"


async def test_a_bug_in_the_block_is_not_turned_into_a_fault(stage: Stage) -> None:
    with pytest.raises(KeyError, match=re.escape("'x'")):
        async with scanning(stage.backends, None, Interest(), lambda _: None):
            raise KeyError("x")
    assert stage.traffic.scanning == 0
