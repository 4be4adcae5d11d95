"""Bonds: made, looked at, lost, and made by hand, with a real dbus-daemon between."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from structlog.testing import capture_logs

from healthd.central.bonds import Wish
from healthd.settings.model import PeripheralSettings
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address
from tests.support.process import call

pytestmark = needs_dbus

DEVICE = "dev_C0_00_00_00_00_01"
IDENTITY = "C0:00:00:00:00:77"
PLAIN, WITH_KEY = Wish(pair=True), Wish(pair=True, passkey=42)

NOT_PAIRED = ("org.bluez.Error.NotPermitted", "Not paired")

SETTINGS = """
[[peripherals]]
id = "strap"
address = "C0:00:00:00:00:01"
"""


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs begin when they are due."""
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.0)


def bluez(bus: Bus, **more: Any) -> BlueZ:
    """A bluetoothd with a strap like this."""
    return BlueZ(bus, strap(**more), adapters={"hci0": True})


async def test_nothing_is_paired_that_the_settings_do_not_want(bus: Bus) -> None:
    async with bluez(bus) as there, Gateway(by_address()) as gateway:
        await gateway.streams()
        assert gateway.bonds == [("strap", False)]
    assert there.count("Pair") == there.count("RegisterAgent") == 0


async def test_paired_once_before_the_first_link(bus: Bus) -> None:
    async with bluez(bus) as there, Gateway(by_address(), wishes={"strap": PLAIN}) as gateway:
        await gateway.streams()
        await gateway.until(lambda: gateway.bonds == [("strap", False), ("strap", True)])
        await there.do("unlink", address="C0:00:00:00:00:01")
        await gateway.lost("link_lost")
        await gateway.streams()
    assert there.count("Pair", DEVICE) == 1
    assert there.count("capability NoInputNoOutput") == 1
    assert there.count("RequestDefaultAgent") == 0, "other people's devices are not ours"
    assert there.count("RegisterAgent") == there.count("UnregisterAgent") == 1
    assert there.count("StopNotify") == 0, "some cuffs forget their bond"


async def test_a_passkey_is_answered(bus: Bus) -> None:
    wishes = {"strap": WITH_KEY}
    async with bluez(bus, passkey=42) as there, Gateway(by_address(), wishes=wishes) as gateway:
        await gateway.streams()
        assert gateway.bonds[-1] == ("strap", True)
    assert there.count("capability KeyboardDisplay") == 1


@pytest.mark.parametrize(
    ("device", "wish"),
    [
        ({"refuses": True}, PLAIN),
        ({"passkey": 43}, WITH_KEY),
        ({"passkey": 42}, PLAIN),
    ],
    ids=["refused", "a wrong passkey", "no passkey"],
)
async def test_a_pairing_that_fails_is_one_try_a_link(
    bus: Bus, device: dict[str, Any], wish: Wish
) -> None:
    async with bluez(bus, **device) as there:
        async with Gateway(by_address(), wishes={"strap": wish}) as gateway:
            await gateway.lost("pairing_failed")
            await there.called("CancelPairing")
            await there.called("Disconnect")
            assert there.count("Pair") == len(gateway.reasons())
            assert there.count("Connect") == 0, "no link that is good for nothing"
        await there.called("UnregisterAgent", times=there.count("RegisterAgent"))


async def test_paired_by_a_bluetoothd_that_came_anew(bus: Bus) -> None:
    wishes = {"strap": PLAIN}
    async with bluez(bus) as there, Gateway(by_address(), wishes=wishes) as gateway:
        await gateway.streams()
        await there.kill()
        await gateway.lost("bluez_gone")
        await there.start()  # with no bond: the fake keeps nothing
        await gateway.streams()
        assert there.count("Pair") == 2


async def test_a_bond_is_known_from_the_start(bus: Bus) -> None:
    wishes = {"strap": PLAIN}
    async with bluez(bus, known=True, bonded=True) as there:
        async with Gateway(by_address(), wishes=wishes) as gateway:
            await gateway.streams()
            assert gateway.bonds == [("strap", True)]
        assert there.count("Pair") == 0


@pytest.mark.parametrize(
    ("bonded", "reason"), [(False, "not_paired"), (True, "bond_lost")], ids=["no bond", "a bond"]
)
async def test_what_a_refusal_means_is_a_question_of_the_bond(
    bus: Bus, bonded: bool, reason: str
) -> None:
    async with bluez(bus, known=True, bonded=bonded) as there:
        await there.do("fail", members={"StartNotify": NOT_PAIRED})
        async with Gateway(by_address()) as gateway:
            await gateway.lost(reason)
            assert set(gateway.reasons()) == {reason}
        assert there.count("Pair") == there.count("RemoveDevice") == 0, "its owner decides"


def fetched_now_and_then() -> PeripheralSettings:
    keys = {"id": "strap", "address": "C0:00:00:00:00:01", "every": "15min", "window": "4s"}
    return PeripheralSettings.model_validate(keys)


@pytest.mark.parametrize(
    ("bonded", "reason", "mend"),
    [
        (False, "not_paired", "healthd pair strap"),
        (True, "bond_lost", "healthd pair strap --again"),
    ],
    ids=["no bond", "a bond"],
)
async def test_a_run_that_is_refused_tells_why_and_what_mends_it(
    bus: Bus, tmp_path: Path, bonded: bool, reason: str, mend: str
) -> None:
    async with bluez(bus, known=True, bonded=bonded) as there:
        await there.do("fail", members={"StartNotify": NOT_PAIRED})
        with capture_logs() as log:
            async with Gateway(fetched_now_and_then(), folder=tmp_path) as gateway:
                await gateway.until(lambda: gateway.fetched)
                (run,) = gateway.fetched
        assert (run.outcome, run.reason, run.samples) == ("failed", reason, 0)
        [line] = [one for one in log if one["event"] == "fetched"]
        assert line["reason"] == reason
        assert mend in line["error"]
        assert ("--again" in line["error"]) is bonded
        assert there.count("Pair") == there.count("RemoveDevice") == 0, "its owner decides"


async def test_a_run_pairs_first_where_it_is_wished_for(bus: Bus, tmp_path: Path) -> None:
    wishes = {"strap": PLAIN}
    async with bluez(bus) as there:
        async with Gateway(fetched_now_and_then(), wishes=wishes, folder=tmp_path) as gateway:
            await gateway.until(lambda: gateway.fetched)
            (run,) = gateway.fetched
            assert (run.outcome, run.reason) == ("new_data", None)
            assert gateway.bonds == [("strap", False), ("strap", True)]
        assert there.count("Pair", DEVICE) == 1


async def test_a_run_whose_pairing_fails_says_so(bus: Bus, tmp_path: Path) -> None:
    wishes = {"strap": PLAIN}
    async with bluez(bus, refuses=True) as there:
        async with Gateway(fetched_now_and_then(), wishes=wishes, folder=tmp_path) as gateway:
            await gateway.until(lambda: gateway.fetched)
            (run,) = gateway.fetched
            assert (run.outcome, run.reason) == ("failed", "pairing_failed")
        assert there.count("Connect") == 0, "no link that is good for nothing"


async def test_a_private_address_becomes_the_identity_address(bus: Bus) -> None:
    by_name = PeripheralSettings(id="strap", name="Strap")
    async with bluez(bus, identity=IDENTITY) as there:
        async with Gateway(by_name, wishes={"strap": PLAIN}) as gateway:
            await gateway.streams()
            await there.do("unlink", address=IDENTITY)
            await gateway.lost("link_lost")
            await gateway.streams()
            assert "orphan" not in gateway.changes()
        assert there.count("Pair") == 1


async def test_a_bonded_device_is_known_by_its_identity_address(bus: Bus) -> None:
    entry = PeripheralSettings(id="strap", address=IDENTITY)
    seen = {"address": IDENTITY, "heard_as": "C0:00:00:00:00:01", "known": True, "bonded": True}
    async with bluez(bus, **seen) as there, Gateway(entry) as gateway:
        await gateway.streams()
        assert gateway.bonds == [("strap", True)]
        assert there.count("Connect", DEVICE) == 1


async def test_nobody_but_bluez_is_told_a_passkey(bus: Bus) -> None:
    wishes = {"strap": WITH_KEY}
    async with bluez(bus, passkey=42) as there:
        await there.do("hang", members=["Pair"])
        async with Gateway(by_address(), wishes=wishes):
            await there.called("Pair")
            thief = await MessageBus(bus_type=BusType.SYSTEM).connect()
            names = await thief.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member="ListNames",
                )
            )
            asked = 0
            for name in names.body[0]:
                if not name.startswith(":") or name == thief.unique_name:
                    continue
                call = Message(
                    destination=name,
                    path="/org/healthd/agent",
                    interface="org.bluez.Agent1",
                    member="RequestPasskey",
                    signature="o",
                    body=[f"/org/bluez/hci0/{DEVICE}"],
                )
                async with asyncio.timeout(10):
                    reply = await thief.call(call)
                assert reply.message_type is MessageType.ERROR
                asked += reply.error_name == "org.bluez.Error.Rejected"
            assert asked == 1
            thief.disconnect()
            await there.do("hang", members=[])


# The command


async def paired(
    bus: Bus, folder: Path, *arguments: str, settings: str = SETTINGS, typed: str = ""
) -> tuple[int, str]:
    """Exit code of ``healthd pair``, and all that it says."""
    config = folder / "healthd.toml"
    config.write_text(settings)
    command = ("pair", *arguments, "--config", str(config))
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    code, out, err = await call(*command, environ=environ, typed=typed)
    return code, out + err


async def test_the_command_pairs_and_trusts(bus: Bus, tmp_path: Path) -> None:
    async with bluez(bus) as there:
        code, text = await paired(bus, tmp_path, "strap")
        assert (code, "strap is paired" in text) == (0, True), text
        assert there.count("Pair", DEVICE) == there.count("Set", DEVICE) == 1
        assert there.count("StartDiscovery") == there.count("StopDiscovery") == 1
        assert there.count("Disconnect", DEVICE) == 1, "made for the pairing alone"
        code, text = await paired(bus, tmp_path, "strap")
        assert (code, "--again" in text) == (0, True), text
        code, text = await paired(bus, tmp_path, "strap", "--again")
        assert (code, "is forgotten" in text) == (0, True), text
        assert (there.count("Pair"), there.count("RemoveDevice")) == (2, 1)


async def test_the_command_hangs_up_a_link_over_which_nothing_is_answered(
    bus: Bus, tmp_path: Path
) -> None:
    async with bluez(bus, connected=True, stuck=True) as there:
        code, text = await paired(bus, tmp_path, "strap")
        assert (code, "strap is paired" in text) == (0, True), text
        assert there.count("Pair", DEVICE) == 1


async def test_the_command_asks_for_a_passkey(bus: Bus, tmp_path: Path) -> None:
    async with bluez(bus, passkey=42):
        code, text = await paired(bus, tmp_path, "strap", typed="000042\n")
        assert (code, "passkey, six digits" in text) == (0, True), text


async def test_the_command_takes_the_passkey_of_the_settings(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "passkey").write_text("000042\n")
    settings = f'{SETTINGS}passkey_file = "{tmp_path}/passkey"\n'
    async with bluez(bus, passkey=42):
        code, text = await paired(bus, tmp_path, "strap", settings=settings)
        assert (code, "six digits" in text) == (0, False), text


async def test_the_command_says_what_to_do(bus: Bus, tmp_path: Path) -> None:
    async with bluez(bus, refuses=True) as there:
        code, text = await paired(bus, tmp_path, "strap")
        assert code == 1
        assert re.search("AuthenticationFailed.*pairing mode", text, re.DOTALL), text
        assert "Traceback" not in text
        assert there.count("CancelPairing") == 1
        code, text = await paired(bus, tmp_path, "starp")
        assert (code, "there are: strap" in text) == (2, True), text
        code, text = await paired(bus, tmp_path, "strap", settings="[peripherals]\n")
        assert (code, "Traceback" in text) == (78, False), text


async def test_the_command_without_bluetoothd_says_so(bus: Bus, tmp_path: Path) -> None:
    code, text = await paired(bus, tmp_path, "strap")
    assert (code, "systemctl start bluetooth" in text, "Traceback" in text) == (1, True, False)
