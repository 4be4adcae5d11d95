"""Keys of devices: made by `healthd pair`, used by the daemon, over a real dbus-daemon."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.folders import let_others_enter
from tests.support.process import Healthd, call

pytestmark = needs_dbus

ADDRESS = "C0:00:00:00:00:01"

SETTINGS = """
[gateway]
id = "gateway"
[mqtt]
brokers = ["127.0.0.1:1"]
[outbox]
directory = "{folder}/state"
max_size = "16MB"
[[peripherals]]
id = "cuff"
{match}
"""

BY_ADDRESS, BY_SERVICE = f'address = "{ADDRESS}"', 'service = "omron"'
OLD = bytes(16).hex()


def cuff(bus: Bus, name: str = "BLEsmart_000002640001", **more: Any) -> BlueZ:
    """Make a bluetoothd with a cuff; ``more`` is for ``FakeCuff``, and ``device`` for ``strap``."""
    device = more.pop("device", {})
    known = strap(ADDRESS, name, uuids=[], cuff={"pairing": True, **more}, **device)
    return BlueZ(bus, known, adapters={"hci0": True})


class Machine:
    """A folder with settings, in which commands run."""

    def __init__(self, folder: Path, bus: Bus) -> None:
        self.config = folder / "healthd.toml"
        self.key = folder / "state/keys/cuff"
        self._folder = folder
        self._environ = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address, "XDG_RUNTIME_DIR": str(folder)}

    def configure(self, match: str) -> None:
        self.config.write_text(SETTINGS.format(folder=self._folder, match=match))

    async def pair(self, *more: str, match: str = BY_SERVICE) -> tuple[int, str]:
        """Run ``healthd pair cuff``; return its exit code and its output."""
        self.configure(match)
        arguments = ("pair", "cuff", *more, "--config", str(self.config))
        code, out, err = await call(*arguments, environ=self._environ)
        return code, out + err

    def daemon(self) -> Healthd:
        """Return a daemon, to be started."""
        self.configure(BY_SERVICE)
        return Healthd("run", "--config", str(self.config), environ=self._environ)

    def have_key(self, text: str = OLD) -> None:
        """Write a key file."""
        self.key.parent.mkdir(parents=True, mode=0o700)
        self.key.write_text(text)
        self.key.chmod(0o600)


@pytest.fixture
def machine(tmp_path: Path, bus: Bus) -> Machine:
    return Machine(tmp_path, bus)


def written(bluez: BlueZ, first: str) -> list[str]:
    """Return what was written to the cuff that begins so, without that, in hex."""
    marks = [call.removeprefix("written ") for call, _ in bluez.calls if call.startswith("written")]
    return [mark.removeprefix(first) for mark in marks if mark.startswith(first)]


@pytest.mark.parametrize("match", [BY_SERVICE, BY_ADDRESS, 'name = "BLEsmart*"'])
async def test_a_new_key_is_random_and_only_the_device_and_its_file_get_it(
    bus: Bus, machine: Machine, match: str
) -> None:
    keys: list[str] = []
    for again in ((), ("--again",)):
        async with cuff(bus, waits=1) as bluez:
            code, text = await machine.pair(*again, match=match)
            assert (code, "cuff is paired" in text) == (0, True), text
            assert "-P- blinks" in text or match != BY_SERVICE
            assert str(machine.key) in text
            [key] = written(bluez, "00")
            assert machine.key.read_text() == f"{key}\n"
            assert stat.S_IMODE(machine.key.stat().st_mode) == 0o600
            assert key not in text
            assert len(written(bluez, "02")) >= 2, "the bond is made meanwhile"
            assert bluez.count("RequestDefaultAgent") == 1
            assert bluez.count("RegisterAgent") == bluez.count("UnregisterAgent") == 1
            assert bluez.count("Set") == 1, "it is trusted, because it has asked for a bond"
            assert bluez.count("Pair") == 0
            assert bluez.count("Disconnect") >= 1
            keys.append(key)
    assert len(set(keys)) == 2
    assert all(len(bytes.fromhex(key)) == 16 for key in keys)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ({"refuses": True}, "refuses"),
        ({"hangs_up": "02"}, "link"),
        ({"hangs_up": "00"}, "link"),
        ({"pairing": False}, "pairing mode"),
    ],
    ids=["refused", "gone before the key", "gone instead of an answer", "not in pairing mode"],
)
async def test_a_key_that_was_not_agreed_is_not_stored(
    bus: Bus, machine: Machine, device: dict[str, Any], says: str
) -> None:
    machine.have_key()
    async with cuff(bus, **device) as bluez:
        code, text = await machine.pair("--again")
        assert (code, says in text, "-P- blinks" in text) == (1, True, True), text
        assert "Traceback" not in text
        assert machine.key.read_text() == OLD
        assert [file.name for file in machine.key.parent.iterdir()] == ["cuff"]
        assert bluez.count("RegisterAgent") == bluez.count("UnregisterAgent") >= 1


async def test_a_link_that_ends_is_made_again(bus: Bus, machine: Machine) -> None:
    async with cuff(bus, hangs_up="00", times=2) as bluez:
        code, text = await machine.pair()
        assert (code, "trying again" in text) == (0, True), text
        keys = written(bluez, "00")
        assert machine.key.read_text() == f"{keys[-1]}\n"
        assert len(set(keys)) == 3, "each try has a key of its own"


async def test_after_a_failed_pairing_there_is_still_no_key(bus: Bus, machine: Machine) -> None:
    async with cuff(bus, hangs_up="00"):
        code, text = await machine.pair()
        assert (code, list(machine.key.parent.iterdir())) == (1, []), text


async def test_a_device_that_has_a_key_is_paired_already(bus: Bus, machine: Machine) -> None:
    machine.have_key()
    async with cuff(bus) as bluez:
        code, text = await machine.pair()
        assert (code, "--again replaces the key" in text) == (0, True), text
        assert bluez.count("StartDiscovery") == bluez.count("Connect") == 0


async def test_a_bond_without_a_key_is_not_enough(bus: Bus, machine: Machine) -> None:
    bonded = {"known": True, "bonded": True}
    async with cuff(bus, device=bonded, refuses=True) as bluez:
        code, text = await machine.pair()
        assert (code, "--again also removes its bond" in text) == (1, True), text
        assert (bluez.count("Connect"), bluez.count("RemoveDevice")) == (1, 0)
    async with cuff(bus, device=bonded) as bluez:
        code, text = await machine.pair("--again")
        assert (code, "removed the existing bond" in text) == (0, True), text
        assert machine.key.exists()


async def test_a_device_with_that_name_and_no_key_gets_an_ordinary_bond(
    bus: Bus, machine: Machine
) -> None:
    modern = strap(ADDRESS, "BLEsmart_000001610001", uuids=[])
    async with BlueZ(bus, modern, adapters={"hci0": True}) as bluez:
        code, text = await machine.pair(match=BY_ADDRESS)
        assert (code, "cuff is paired" in text) == (0, True), text
        assert bluez.count("Pair") == 1
        assert not machine.key.exists()


async def test_a_place_that_cannot_be_written_is_found_before_the_device_gets_the_key(
    bus: Bus, machine: Machine
) -> None:
    machine.key.parent.parent.mkdir()
    machine.key.parent.touch()
    async with cuff(bus) as bluez:
        code, text = await machine.pair()
        assert (code, str(machine.key.parent) in text) == (1, True), text
        assert "Traceback" not in text
        assert bluez.count("Connect") == 0


async def test_the_daemon_uses_a_new_key_without_a_restart(bus: Bus, machine: Machine) -> None:
    key = bytes(range(16)).hex()
    async with cuff(bus) as bluez, machine.daemon() as daemon:
        line = await daemon.logged("retrying", peripheral="cuff", reason="no_key")
        assert "healthd pair cuff" in line["error"]
        machine.have_key(f"{key}\n")
        await bluez.called(f"written 01{key}")
        machine.key.write_text("hunter2")
        await bluez.do("unlink", address=ADDRESS)
        line = await daemon.logged("retrying", peripheral="cuff", reason="bad_key")
        assert str(machine.key) in line["error"]
        machine.key.unlink()
        assert await daemon.stopped() == 0
        assert key not in str(daemon.log)
        assert "hunter2" not in str(daemon.log)
    kept = b"".join(file.read_bytes() for file in machine.key.parents[1].glob("*.*"))
    assert b"cuff" in kept, "its events are there"
    assert key.encode() not in kept
    assert bytes.fromhex(key) not in kept


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can act as another user")
async def test_root_writes_the_key_for_the_owner_of_the_outbox(bus: Bus, machine: Machine) -> None:
    state = machine.key.parents[1]
    let_others_enter(state.parent)
    state.mkdir(0o700)
    os.chown(state, 65534, 65534)
    async with cuff(bus):
        code, text = await machine.pair()
    assert code == 0, text
    assert machine.key.stat().st_uid == 65534
