"""What happens to the links when BlueZ ends, restarts, hangs or forgets, or an adapter is off.

The bus is a real dbus-daemon, and bleak is the real one; bluetoothd is a fake.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from healthd.central import recovery as recovery_module
from healthd.central.bluez import BlueZ as Owner
from healthd.central.faults import LinkLost
from healthd.central.watch import Watch
from healthd.sessions.session import State
from healthd.settings.model import PeripheralSettings
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address

pytestmark = needs_dbus

DEVICE = "dev_C0_00_00_00_00_01"

# A generous bound for what has to happen at once; every timeout of healthd that could end the wait
# instead is longer.
AT_ONCE_S = 4.0


class StartBlueZ(Protocol):
    """The type of the fixture ``start``."""

    async def __call__(self, *devices: dict[str, Any], **adapters: bool) -> BlueZ: ...


def files(folder: Path) -> list[Path]:
    """Return the files in a folder."""
    return list(folder.iterdir())


@pytest.fixture
async def start(bus: Bus) -> AsyncIterator[StartBlueZ]:
    """Provide a function that starts bluetoothd with devices and adapters (default: hci0, on)."""
    async with AsyncExitStack() as stack:

        async def start(*devices: dict[str, Any], **adapters: bool) -> BlueZ:
            bluez = BlueZ(bus, *devices, adapters=adapters or {"hci0": True})
            return await stack.enter_async_context(bluez)

        yield start


async def test_a_device_is_found_linked_and_streams(start: StartBlueZ) -> None:
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
    assert bluez.count("Connect") == 1
    assert bluez.count("Disconnect") == 1
    assert bluez.count("StopNotify") == 0, "some cuffs forget their bond"


async def test_bluez_is_not_looked_at_while_all_is_well(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, recover = 0, Watch._recover  # pyright: ignore[reportPrivateUsage]

    async def counted(watch: Watch, bluez: Any) -> None:
        nonlocal looks
        looks += 1
        await recover(watch, bluez)

    monkeypatch.setattr(Watch, "_recover", counted)
    await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        at_first = looks
        assert at_first >= 1
        await asyncio.sleep(3.0)
        assert looks == at_first


@pytest.mark.parametrize("known", [False, True], ids=["not stored", "stored"])
async def test_streams_return_after_bluetoothd_was_killed(start: StartBlueZ, known: bool) -> None:
    bluez = await start(strap(known=known))
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        async with asyncio.timeout(AT_ONCE_S):
            await bluez.kill()
            await gateway.lost("bluez_gone")
        await bluez.start()
        await gateway.streams()
        assert bluez.count("Connect") == 2, "a link that bleak remembers does not exist any more"
        assert "bluez_gone" in gateway.changes()
        assert "bluez_back" in gateway.changes()


async def test_streams_return_after_each_kill_of_bluetoothd(start: StartBlueZ) -> None:
    bluez = await start(strap(), strap("C0:00:00:00:00:02", "Other"))
    async with Gateway(by_address(), by_address(2, "other")) as gateway:
        for _ in range(3):
            await gateway.streams("strap", "other")
            await bluez.kill()
            await gateway.until(lambda: gateway.changes()[-1] == "bluez_gone")
            await bluez.start()
        await gateway.streams("strap", "other")


async def test_bluetoothd_may_start_after_healthd(bus: Bus) -> None:
    async with Gateway(by_address()) as gateway:
        await gateway.until(lambda: gateway.changes() == ["bluez_gone"])
        async with BlueZ(bus, strap(), adapters={"hci0": True}):
            await gateway.streams()


async def test_streams_return_after_dbus_was_killed(bus: Bus, start: StartBlueZ) -> None:
    first = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        async with asyncio.timeout(AT_ONCE_S):
            await bus.kill()
            await gateway.lost("dbus_lost")
        await first.kill()
        await bus.start()
        await first.start()
        await gateway.streams()


async def test_healthd_waits_for_the_bus(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    await bus.kill()
    async with Gateway(by_address()) as gateway:
        await gateway.until(lambda: gateway.states == [("strap", State.SEARCHING, None)])
        await bus.start()
        async with BlueZ(bus, strap(), adapters={"hci0": True}):
            await gateway.streams()


async def test_streams_return_after_the_adapter_was_off(start: StartBlueZ) -> None:
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        async with asyncio.timeout(AT_ONCE_S):
            await bluez.do("power", adapter="hci0", on=False)
            await gateway.lost("adapter_off")
        await gateway.until(lambda: gateway.states[-1][1] is State.SEARCHING)
        discoveries = bluez.count("StartDiscovery")
        await gateway.until(lambda: "off" in gateway.changes())
        assert bluez.count("StartDiscovery") == discoveries, "there is no scan without an adapter"
        await bluez.do("power", adapter="hci0", on=True)
        await gateway.streams()


@pytest.mark.parametrize(
    ("do", "how", "reason"),
    [("power", {"on": False}, "adapter_off"), ("unplug", {}, "adapter_gone")],
)
async def test_a_long_link_that_ends_with_its_adapter_has_that_reason(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch, do: str, how: dict[str, Any], reason: str
) -> None:
    # Its end is handled at once, before the adapter is known to be gone.
    monkeypatch.setattr("healthd.sessions.subscriptions._SETTLED_S", 0.0)
    monkeypatch.setattr("healthd.central.recent._LASTED_S", 0.0)
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        await bluez.do(do, adapter="hci0", **how)
        await gateway.until(gateway.reasons)
        await gateway.until(lambda: gateway.states[-1][1] is State.SEARCHING)
        assert gateway.reasons()[0] == reason
        await bluez.do("power" if do == "power" else "plug", adapter="hci0", on=True)
        await gateway.streams()


async def test_a_long_link_is_made_again_without_a_search(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.subscriptions._SETTLED_S", 0.0)
    monkeypatch.setattr("healthd.central.recent._LASTED_S", 0.0)
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        discoveries = bluez.count("StartDiscovery")
        await bluez.do("unlink", address="C0:00:00:00:00:01")
        await gateway.lost("link_lost")
        await gateway.streams()
        assert bluez.count("StartDiscovery") == discoveries
        assert gateway.reasons() == ["link_lost"]
        # BlueZ may have forgotten the device in the same moment: it is searched for.
        unknown = "org.freedesktop.DBus.Error.UnknownObject", "no such object"
        await bluez.do("fail", members={"Connect": unknown})
        await bluez.do("unlink", address="C0:00:00:00:00:01")
        await gateway.until(lambda: gateway.reasons() == ["link_lost"] * 3)
        await bluez.do("fail", members={})
        await gateway.streams()
        assert bluez.count("StartDiscovery") > discoveries


async def test_streams_return_after_the_adapter_was_unplugged(start: StartBlueZ) -> None:
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        async with asyncio.timeout(AT_ONCE_S):
            await bluez.do("unplug", adapter="hci0")
            await gateway.lost("adapter_gone")
        await bluez.do("plug", adapter="hci0", on=True)
        await gateway.streams()


async def test_the_adapter_may_be_unplugged_during_a_scan(start: StartBlueZ) -> None:
    bluez = await start(strap(away=True))
    async with Gateway(by_address()) as gateway:
        await bluez.called("StartDiscovery")
        await bluez.do("unplug", adapter="hci0")
        await gateway.until(lambda: "gone" in gateway.changes())
        await bluez.do("set", address="C0:00:00:00:00:01", to={"away": False})
        await bluez.do("plug", adapter="hci0", on=True)
        await gateway.streams()


async def test_an_adapter_that_was_never_on_is_switched_on(start: StartBlueZ) -> None:
    await start(strap(), hci0=False)
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        assert gateway.changes().count("power_on") == 1


async def test_an_adapter_is_not_switched_on_against_the_settings(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.power._AFTER_APPEARING_S", (0.0,))
    bluez = await start(strap(), hci0=False)
    async with Gateway(by_address(), power_on=False) as gateway:
        # Enough time for several of the checks that are made every second.
        await gateway.until(lambda: "off" in gateway.changes())
        await asyncio.sleep(2.5)
        assert bluez.count("Set") == 0


async def test_healthd_waits_for_a_blocked_adapter(start: StartBlueZ) -> None:
    bluez = await start(strap(), hci0=False)
    await bluez.do("fail", members={"Set": ("org.bluez.Error.Blocked", "Blocked through rfkill")})
    async with Gateway(by_address()) as gateway:
        await bluez.called("Set")
        await bluez.do("fail", members={})
        await bluez.do("power", adapter="hci0", on=True)
        await gateway.streams()


async def test_only_the_adapter_of_the_settings_is_used(start: StartBlueZ) -> None:
    bluez = await start(strap(adapter="hci1"), hci0=True, hci1=True)
    async with Gateway(by_address(), adapter="hci1") as gateway:
        await gateway.streams()
    assert bluez.count("StartDiscovery", "hci1") == bluez.count("StartDiscovery")


async def test_another_adapter_is_used_if_the_first_is_unplugged(start: StartBlueZ) -> None:
    bluez = await start(strap(), strap(adapter="hci1"), hci0=True, hci1=True)
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        assert bluez.count("Connect", "hci0") == 1
        await bluez.do("unplug", adapter="hci0")
        await gateway.lost("adapter_gone")
        await gateway.streams()
        assert bluez.count("Connect", "hci1") == 1


@pytest.mark.parametrize(
    "entry",
    [
        by_address(),
        PeripheralSettings(id="strap", name="Stra?"),
        PeripheralSettings(id="strap", service="heart_rate"),
    ],
    ids=["address", "name", "service"],
)
async def test_an_orphan_link_is_ended_and_the_peripheral_found(
    start: StartBlueZ, entry: PeripheralSettings
) -> None:
    bluez = await start(strap(connected=True))
    async with Gateway(entry) as gateway:
        await gateway.streams()
        assert gateway.changes().count("orphan") == 1
    assert bluez.count("Disconnect", DEVICE) == 2  # the orphan, and our own at the end


async def test_the_link_of_another_program_is_not_ended(start: StartBlueZ) -> None:
    bluez = await start(strap(), strap("C0:00:00:00:00:09", "Keyboard", connected=True))
    async with Gateway(by_address(), PeripheralSettings(id="named", name="Strap B*")) as gateway:
        await gateway.streams()
        assert "orphan" not in gateway.changes()
    assert bluez.count("Disconnect", "dev_C0_00_00_00_00_09") == 0


async def test_our_own_link_is_not_an_orphan(start: StartBlueZ) -> None:
    bluez = await start(strap())
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        checks = bluez.count("GetManagedObjects")
        gateway.radio.check_devices()
        await bluez.called("GetManagedObjects", times=checks + 1)
        await gateway.streams()
        assert bluez.count("Disconnect") == 0


async def test_a_disconnect_without_an_answer_is_abandoned_and_its_link_ended_later(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.link._CLOSE_TIMEOUT_S", 0.5)
    bluez = await start(strap())
    entry = by_address()
    async with Gateway(entry) as gateway:
        await gateway.streams()
        await bluez.do("hang", members=["Disconnect"])
        for link in gateway.radio._links:  # pyright: ignore[reportPrivateUsage]
            link.lose(LinkLost("stalled", "for the test"))
        await gateway.lost("stalled")
        await bluez.do("hang", members=[])
        await gateway.streams()
        assert "orphan" in gateway.changes(), "BlueZ still had the abandoned link"


async def test_a_connect_without_an_answer_is_bounded(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.central.link._CONNECT_TIMEOUT_S", 1.0)
    bluez = await start(strap())
    # When it is cancelled, bleak calls Disconnect, and waits for the answer without a limit.
    await bluez.do("hang", members=["Connect", "Disconnect"])
    async with Gateway(by_address()) as gateway:
        await gateway.lost("timeout")
        await bluez.do("hang", members=[])
        await gateway.streams()


async def test_a_device_that_is_removed_during_its_connect_is_searched_again(
    start: StartBlueZ,
) -> None:
    # BlueZ never answers the connect then, and bleak would wait for 20 s.
    bluez = await start(strap())
    await bluez.do("hang", members=["Connect"])
    async with Gateway(by_address()) as gateway, Owner.connected() as owner:
        await bluez.called("Connect")
        await bluez.do("hang", members=[])
        async with asyncio.timeout(AT_ONCE_S):
            await owner.remove(f"/org/bluez/hci0/{DEVICE}")
            await bluez.called("Connect", times=2)
        await gateway.streams()


async def test_a_stop_is_bounded_while_bluetoothd_hangs(start: StartBlueZ) -> None:
    bluez = await start(strap())
    await bluez.do("hang", members=["Connect", "Disconnect", "StopDiscovery"])
    async with asyncio.timeout(AT_ONCE_S + 30), Gateway(by_address()):
        await bluez.called("Connect")


async def test_a_scan_in_progress_is_ended_by_a_rescan(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_module, "FAILURES", 2)
    bluez = await start(strap())
    busy = ("org.bluez.Error.InProgress", "Operation already in progress")
    await bluez.do("fail", members={"StartDiscovery": busy})
    async with Gateway(by_address()) as gateway:
        await gateway.until(lambda: "rescan" in gateway.changes())
        await bluez.called("StopDiscovery")
        await bluez.do("fail", members={})
        await gateway.streams()


async def test_a_broken_adapter_is_recovered_step_by_step(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recovery_module, "FAILURES", 1)
    monkeypatch.setattr(recovery_module, "_PACE_S", 0.1)
    bluez = await start(strap())
    busy = ("org.bluez.Error.InProgress", "Operation already in progress")
    await bluez.do("fail", members={"StartDiscovery": busy})
    reset = tmp_path / "reset-adapter"
    async with Gateway(by_address(), reset_file=reset) as gateway:
        await gateway.until(lambda: "reset" in gateway.changes())
        expected = ["rescan", "power_cycle", "reset"]
        assert [change for change in gateway.changes() if change in expected] == expected
        assert bluez.count("Set") == 2, "off and on"
        assert reset.read_text() == "hci0\n"
        assert reset.stat().st_mode & 0o777 == 0o640
    assert files(tmp_path) == [reset]


async def test_another_adapter_is_used_if_the_first_is_broken(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recovery_module, "FAILURES", 1)
    monkeypatch.setattr(recovery_module, "_PACE_S", 0.1)
    bluez = await start(strap(adapter="hci1"), hci0=True, hci1=True)
    busy = ("org.bluez.Error.InProgress", "Operation already in progress")
    await bluez.do("fail", members={"StartDiscovery": busy})
    async with Gateway(by_address(), reset_file=tmp_path / "reset") as gateway:
        await gateway.until(lambda: "moved" in gateway.changes())
        await bluez.do("fail", members={})
        await gateway.streams()
        assert bluez.count("Connect", "hci1") == 1
    assert files(tmp_path) == []


async def test_stale_services_are_forgotten_once(start: StartBlueZ) -> None:
    bluez = await start(strap(known=True, empty=True, then={"empty": False}))
    async with Gateway(by_address()) as gateway:
        await gateway.streams()
        assert gateway.reasons() == ["services_refreshed"]
        assert bluez.count("RemoveDevice") == 1


async def test_a_device_without_readable_services_is_refreshed_once(
    start: StartBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    bluez = await start(strap(empty=True))
    async with Gateway(by_address()) as gateway:
        await gateway.lost("nothing_to_read")
        assert gateway.reasons() == ["services_refreshed", "nothing_to_read"]
        assert bluez.count("RemoveDevice") == 1


async def test_a_bond_is_not_forgotten(start: StartBlueZ) -> None:
    bluez = await start(strap(empty=True, bonded=True))
    async with Gateway(by_address()) as gateway:
        await gateway.lost("nothing_to_read")
        assert gateway.reasons()[0] == "nothing_to_read"
        assert bluez.count("RemoveDevice") == 0


async def test_an_aborted_connect_is_tried_again_by_bleak(start: StartBlueZ) -> None:
    bluez = await start(strap())
    aborted = ("org.bluez.Error.Failed", "le-connection-abort-by-remote")
    await bluez.do("fail", members={"Connect": aborted})
    async with Gateway(by_address()) as gateway:
        await bluez.called("Connect", times=2)
        await bluez.do("fail", members={})
        await gateway.streams()


async def test_a_peripheral_without_a_slot_gets_the_next_one(start: StartBlueZ) -> None:
    bluez = await start(*(strap(f"C0:00:00:00:00:{n:02X}", f"Strap {n}") for n in (1, 2, 3)))
    entries = [by_address(n, f"p{n}") for n in (1, 2, 3)]
    async with Gateway(*entries, slots=2) as gateway:
        await gateway.until(lambda: sum(gateway.values[f"p{n}"] > 3 for n in (1, 2, 3)) == 2)
        waiting = next(f"p{n}" for n in (1, 2, 3) if not gateway.values[f"p{n}"])
        assert bluez.count("Connect") == 2
        linked = next(n for n in (1, 2, 3) if f"p{n}" != waiting)
        await bluez.do("unlink", address=f"C0:00:00:00:00:{linked:02X}")
        await gateway.streams(waiting)
        assert bluez.count("Connect") == 3, (
            "the peripheral that lost its link goes to the end of the queue"
        )
