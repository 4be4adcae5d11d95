"""Bonds: made by healthd, checked, lost, and made by `healthd pair`, over a real dbus-daemon."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from structlog.testing import capture_logs

from healthd.central.bonds import BondSettings
from healthd.settings.model import PeripheralSettings
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address
from tests.support.process import call

pytestmark = needs_dbus

DEVICE = "dev_C0_00_00_00_00_01"
IDENTITY = "C0:00:00:00:00:77"
PLAIN, WITH_KEY = BondSettings(pair=True), BondSettings(pair=True, passkey=42)

NOT_PAIRED = ("org.bluez.Error.NotPermitted", "Not paired")

SETTINGS = """
[[peripherals]]
id = "strap"
address = "C0:00:00:00:00:01"
"""


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start runs exactly when they are due."""
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.0)


def bluez(bus: Bus, **more: Any) -> BlueZ:
    """Make a bluetoothd with a strap; ``more`` is for ``strap``."""
    return BlueZ(bus, strap(**more), adapters={"hci0": True})


async def test_healthd_does_not_pair_unless_the_settings_ask_for_it(bus: Bus) -> None:
    async with bluez(bus) as there, Gateway(by_address()) as gateway:
        await gateway.streams()
        assert gateway.bonds == [("strap", False)]
    assert there.count("Pair") == there.count("RegisterAgent") == 0


async def test_healthd_pairs_once_before_the_first_link(bus: Bus) -> None:
    async with (
        bluez(bus) as there,
        Gateway(by_address(), bond_settings={"strap": PLAIN}) as gateway,
    ):
        await gateway.streams()
        await gateway.until(lambda: gateway.bonds == [("strap", False), ("strap", True)])
        await there.do("unlink", address="C0:00:00:00:00:01")
        await gateway.lost("link_lost")
        await gateway.streams()
    assert there.count("Pair", DEVICE) == 1
    assert there.count("capability NoInputNoOutput") == 1
    assert there.count("RequestDefaultAgent") == 0, "healthd answers only for its own devices"
    assert there.count("RegisterAgent") == there.count("UnregisterAgent") == 1
    assert there.count("StopNotify") == 0, "some cuffs forget their bond"


async def test_the_passkey_of_the_settings_is_answered(bus: Bus) -> None:
    bond_settings = {"strap": WITH_KEY}
    async with (
        bluez(bus, passkey=42) as there,
        Gateway(by_address(), bond_settings=bond_settings) as gateway,
    ):
        await gateway.streams()
        assert gateway.bonds[-1] == ("strap", True)
    assert there.count("capability KeyboardDisplay") == 1


@pytest.mark.parametrize(
    ("device", "wanted"),
    [
        ({"refuses": True}, PLAIN),
        ({"passkey": 43}, WITH_KEY),
        ({"passkey": 42}, PLAIN),
    ],
    ids=["refused", "a wrong passkey", "no passkey"],
)
async def test_a_failing_pairing_is_tried_once_per_link(
    bus: Bus, device: dict[str, Any], wanted: BondSettings
) -> None:
    async with bluez(bus, **device) as there:
        async with Gateway(by_address(), bond_settings={"strap": wanted}) as gateway:
            await gateway.lost("pairing_failed")
            await there.called("CancelPairing")
            await there.called("Disconnect")
            assert there.count("Pair") == len(gateway.reasons())
            assert there.count("Connect") == 0, "a link without pairing is useless"
        await there.called("UnregisterAgent", times=there.count("RegisterAgent"))


async def test_healthd_pairs_again_if_bluetoothd_lost_the_bond(bus: Bus) -> None:
    bond_settings = {"strap": PLAIN}
    async with bluez(bus) as there, Gateway(by_address(), bond_settings=bond_settings) as gateway:
        await gateway.streams()
        await there.kill()
        await gateway.lost("bluez_gone")
        await there.start()  # without the bond: the fake does not store it
        await gateway.streams()
        assert there.count("Pair") == 2


async def test_a_bond_is_known_from_the_start(bus: Bus) -> None:
    bond_settings = {"strap": PLAIN}
    async with bluez(bus, known=True, bonded=True) as there:
        async with Gateway(by_address(), bond_settings=bond_settings) as gateway:
            await gateway.streams()
            assert gateway.bonds == [("strap", True)]
        assert there.count("Pair") == 0


@pytest.mark.parametrize(
    ("bonded", "reason"), [(False, "not_paired"), (True, "bond_lost")], ids=["no bond", "a bond"]
)
async def test_the_meaning_of_a_refusal_depends_on_the_bond(
    bus: Bus, bonded: bool, reason: str
) -> None:
    async with bluez(bus, known=True, bonded=bonded) as there:
        await there.do("fail", members={"StartNotify": NOT_PAIRED})
        async with Gateway(by_address()) as gateway:
            await gateway.lost(reason)
            assert set(gateway.reasons()) == {reason}
        assert there.count("Pair") == there.count("RemoveDevice") == 0, "its owner decides"


def periodic_strap() -> PeripheralSettings:
    keys = {"id": "strap", "address": "C0:00:00:00:00:01", "every": "15min", "window": "4s"}
    return PeripheralSettings.model_validate(keys)


@pytest.mark.parametrize(
    ("bonded", "reason", "command"),
    [
        (False, "not_paired", "healthd pair strap"),
        (True, "bond_lost", "healthd pair strap --again"),
    ],
    ids=["no bond", "a bond"],
)
async def test_a_refused_run_logs_the_reason_and_the_command_that_fixes_it(
    bus: Bus, tmp_path: Path, bonded: bool, reason: str, command: str
) -> None:
    async with bluez(bus, known=True, bonded=bonded) as there:
        await there.do("fail", members={"StartNotify": NOT_PAIRED})
        with capture_logs() as log:
            async with Gateway(periodic_strap(), folder=tmp_path) as gateway:
                await gateway.until(lambda: gateway.fetched)
                (run,) = gateway.fetched
        assert (run.outcome, run.reason, run.samples) == ("failed", reason, 0)
        [line] = [line for line in log if line["event"] == "fetched"]
        assert line["reason"] == reason
        assert command in line["error"]
        assert ("--again" in line["error"]) is bonded
        assert there.count("Pair") == there.count("RemoveDevice") == 0, "its owner decides"


async def test_a_run_pairs_first_if_the_settings_ask_for_it(bus: Bus, tmp_path: Path) -> None:
    bond_settings = {"strap": PLAIN}
    async with bluez(bus) as there:
        async with Gateway(
            periodic_strap(), bond_settings=bond_settings, folder=tmp_path
        ) as gateway:
            await gateway.until(lambda: gateway.fetched)
            (run,) = gateway.fetched
            assert (run.outcome, run.reason) == ("new_data", None)
            assert gateway.bonds == [("strap", False), ("strap", True)]
        assert there.count("Pair", DEVICE) == 1


async def test_a_run_whose_pairing_fails_has_that_reason(bus: Bus, tmp_path: Path) -> None:
    bond_settings = {"strap": PLAIN}
    async with bluez(bus, refuses=True) as there:
        async with Gateway(
            periodic_strap(), bond_settings=bond_settings, folder=tmp_path
        ) as gateway:
            await gateway.until(lambda: gateway.fetched)
            (run,) = gateway.fetched
            assert (run.outcome, run.reason) == ("failed", "pairing_failed")
        assert there.count("Connect") == 0, "a link without pairing is useless"


async def test_a_private_address_becomes_the_identity_address(bus: Bus) -> None:
    by_name = PeripheralSettings(id="strap", name="Strap")
    async with bluez(bus, identity=IDENTITY) as there:
        async with Gateway(by_name, bond_settings={"strap": PLAIN}) as gateway:
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


async def test_only_bluez_gets_the_passkey(bus: Bus) -> None:
    bond_settings = {"strap": WITH_KEY}
    async with bluez(bus, passkey=42) as there:
        await there.do("hang", members=["Pair"])
        async with Gateway(by_address(), bond_settings=bond_settings):
            await there.called("Pair")
            intruder = await MessageBus(bus_type=BusType.SYSTEM).connect()
            names = await intruder.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member="ListNames",
                )
            )
            asked = 0
            for name in names.body[0]:
                if not name.startswith(":") or name == intruder.unique_name:
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
                    reply = await intruder.call(call)
                assert reply.message_type is MessageType.ERROR
                asked += reply.error_name == "org.bluez.Error.Rejected"
            assert asked == 1
            intruder.disconnect()
            await there.do("hang", members=[])


# The command


async def paired(
    bus: Bus, folder: Path, *arguments: str, settings: str = SETTINGS, typed: str = ""
) -> tuple[int, str]:
    """Run ``healthd pair``; return its exit code and its output."""
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
        assert there.count("Disconnect", DEVICE) == 1, "the link was made only for the pairing"
        code, text = await paired(bus, tmp_path, "strap")
        assert (code, "--again" in text) == (0, True), text
        code, text = await paired(bus, tmp_path, "strap", "--again")
        assert (code, "removed the existing bond" in text) == (0, True), text
        assert (there.count("Pair"), there.count("RemoveDevice")) == (2, 1)


async def test_the_command_ends_an_existing_link_if_pairing_over_it_fails(
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


async def test_the_command_uses_the_passkey_of_the_settings(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "passkey").write_text("000042\n")
    settings = f'{SETTINGS}passkey_file = "{tmp_path}/passkey"\n'
    async with bluez(bus, passkey=42):
        code, text = await paired(bus, tmp_path, "strap", settings=settings)
        assert (code, "six digits" in text) == (0, False), text


async def test_the_command_prints_what_to_do(bus: Bus, tmp_path: Path) -> None:
    async with bluez(bus, refuses=True) as there:
        code, text = await paired(bus, tmp_path, "strap")
        assert code == 1
        assert re.search("AuthenticationFailed.*pairing mode", text, re.DOTALL), text
        assert "Traceback" not in text
        assert there.count("CancelPairing") == 1
        code, text = await paired(bus, tmp_path, "starp")
        assert (code, "peripherals: strap" in text) == (2, True), text
        code, text = await paired(bus, tmp_path, "strap", settings="[peripherals]\n")
        assert (code, "Traceback" in text) == (78, False), text


async def test_the_command_reports_that_bluetoothd_is_not_running(bus: Bus, tmp_path: Path) -> None:
    code, text = await paired(bus, tmp_path, "strap")
    assert (code, "systemctl start bluetooth" in text, "Traceback" in text) == (1, True, False)
