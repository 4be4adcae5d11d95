"""healthd doctor on a healthy gateway, and on broken ones: each gives its finding and exit code 1.

mosquitto, dbus-daemon and disks are real; bluetoothd and the files of the system are our own.
"""

import fcntl
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.topics import Topics
from healthd.settings.model import Broker, GatewaySettings, MqttSettings, Settings
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.certificates import Authority, needs_openssl
from tests.support.mosquitto import (
    Mosquitto,
    StartMosquitto,
    free_port,
    needs_mosquitto,
    password_file,
)
from tests.support.patient import Patient, Report
from tests.support.subscriber import Subscriber
from tests.unit.outbox.bench import SmallDisk

pytestmark = [needs_dbus, needs_mosquitto]

ACL = "user gateway\ntopic write healthd/gateway/#\nuser reader\ntopic read #\n"
USERS = {"gateway": "right", "reader": "right"}

BEHIND_BLUEZ = {"dbus_rights", "bluez_version", "adapter", "powered", "slots"}
BEHIND_TLS = {"broker_credentials", "broker_acl"}


@pytest.fixture
async def bluez(bus: Bus) -> AsyncIterator[BlueZ]:
    """A bluetoothd with an adapter that is on."""
    async with BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        yield bluez


class StartBroker(Protocol):
    """What the fixture ``start_broker`` is."""

    async def __call__(self, acl: str = ..., more: str = ...) -> Mosquitto: ...


@pytest.fixture
def start_broker(mosquitto: StartMosquitto, tmp_path: Path) -> StartBroker:
    """Starts a broker that knows its users, and lets the gateway write."""

    async def start(acl: str = ACL, more: str = "") -> Mosquitto:
        rules = tmp_path / "acl"
        rules.write_text(acl)
        users = password_file(tmp_path, USERS)
        options = f"allow_anonymous false\npassword_file {users}\nacl_file {rules}\n{more}"
        return await mosquitto(options)

    return start


@pytest.fixture
async def patient(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path) -> Patient:
    """A healthy gateway."""
    return Patient(tmp_path, (await start_broker()).address)


def judge(report: Report, wrong: str, skipped: set[str], *, fix: str) -> None:
    """One thing is wrong, is said with how to fix it, and what depends on it is skipped."""
    assert (report.code, report.ok) == (1, False), report
    assert report.having("wrong") == [wrong], report.findings
    assert set(report.having("skipped")) - {"unit"} == skipped, report.findings
    assert report.having("warning") == []
    assert re.search(fix, report.of(wrong)["fix"]), report.of(wrong)
    assert all(one["found"] for one in report.findings)


async def test_a_healthy_gateway(patient: Patient) -> None:
    report = await patient.examined()
    assert (report.code, report.ok) == (0, True), report
    assert set(report.having("ok")) | {"unit"} == {one["check"] for one in report.findings}
    assert report.of("bluez_version")["found"] == "BlueZ 5.66"
    assert report.of("broker_acl")["of"] == patient.settings["mqtt"]["brokers"][0]
    assert not any(one["fix"] for one in report.findings if one["check"] != "unit")


async def test_lines_for_a_person(patient: Patient) -> None:
    code, out = await patient.asked("text")
    assert code == 0
    assert re.search(r"^ok +powered +hci0 is on$", out, re.MULTILINE)
    patient.write("sys/class/rfkill/rfkill0/soft", "1\n")
    code, out = await patient.asked("text")
    assert code == 1
    assert re.search(r"^wrong +rfkill +hci0 is blocked", out, re.MULTILINE)
    assert "→ unblock it: sudo rfkill unblock bluetooth" in out


# Bluetooth


async def test_no_bus(patient: Patient, tmp_path: Path) -> None:
    patient.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/nowhere"
    judge(await patient.examined(), "dbus", BEHIND_BLUEZ | {"bluez"}, fix="systemctl start dbus")


async def test_no_bluetoothd(bluez: BlueZ, patient: Patient) -> None:
    await bluez.kill()
    judge(await patient.examined(), "bluez", BEHIND_BLUEZ, fix="enable --now bluetooth")


async def test_a_bluetoothd_that_hangs(bluez: BlueZ, patient: Patient) -> None:
    await bluez.do("hang", members=["GetManagedObjects"])
    report = await patient.examined()
    judge(report, "bluez", BEHIND_BLUEZ, fix="systemctl restart bluetooth")
    assert "no answer" in report.of("bluez")["found"]


async def test_access_to_bluez_is_denied(
    start_broker: StartBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # bluetoothd itself is let alone: what it answers has no destination of that name.
    rules = '<deny send_destination="org.bluez"/>'
    with TemporaryDirectory(prefix="bus-") as folder:
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(Bus(Path(folder), rules))
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
            await stack.enter_async_context(BlueZ(bus, adapters={"hci0": True}))
            patient = Patient(tmp_path, (await start_broker()).address)
            report = await patient.examined()
    judge(report, "dbus_rights", BEHIND_BLUEZ - {"dbus_rights"}, fix=r"healthd-dbus\.conf")


@pytest.mark.parametrize(
    ("modalias", "tool"),
    [("usb:v1D6Bp0246d0532", "5.66"), ("bluetooth:v000Ap0001d0542", "5.50")],
    ids=["told by BlueZ", "told by its tool"],
)
async def test_a_bluez_that_is_too_old(
    bus: Bus, start_broker: StartBroker, tmp_path: Path, modalias: str, tool: str
) -> None:
    async with BlueZ(bus, adapters={"hci0": True}, modalias=modalias):
        patient = Patient(tmp_path, (await start_broker()).address)
        patient.program("bluetoothctl", f"bluetoothctl: {tool}")
        report = await patient.examined()
    judge(report, "bluez_version", set(), fix="5.55 or newer")
    assert report.of("bluez_version")["found"] == "BlueZ 5.50 is too old"


async def test_no_adapter(bluez: BlueZ, patient: Patient) -> None:
    patient.program("bluetoothctl", "bluetoothctl: 5.66")
    await bluez.do("unplug", adapter="hci0")
    judge(await patient.examined(), "adapter", {"powered"}, fix="plug one in")


async def test_not_the_adapter_of_the_settings(patient: Patient) -> None:
    patient.settings["bluetooth"]["adapter"] = "hci3"
    judge(await patient.examined(), "adapter", {"powered"}, fix="hci0")


async def test_an_adapter_that_is_off(bluez: BlueZ, patient: Patient) -> None:
    await bluez.do("power", adapter="hci0", on=False)
    judge(await patient.examined(), "powered", set(), fix="bluetoothctl power on")


@pytest.mark.parametrize(("which", "fix"), [("soft", "rfkill unblock"), ("hard", "switch or key")])
async def test_a_blocked_adapter(bluez: BlueZ, patient: Patient, which: str, fix: str) -> None:
    await bluez.do("power", adapter="hci0", on=False)
    patient.write(f"sys/class/rfkill/rfkill0/{which}", "1\n")
    judge(await patient.examined(), "rfkill", {"powered"}, fix=fix)


# Settings


async def test_bad_settings_are_all_told(patient: Patient) -> None:
    patient.settings["mqtt"]["verison"] = "5"
    patient.settings["outbox"]["max_size"] = "much"
    report = await patient.examined()
    assert (report.code, report.having("wrong")) == (1, ["settings", "settings"])
    first, second = (one for one in report.findings if one["status"] == "wrong")
    assert "mqtt.verison" in first["found"] + second["found"]
    assert "outbox.max_size" in first["found"] + second["found"]
    assert "did you mean" in first["fix"] + second["fix"]
    behind = {"secrets", "slots", "broker_files", "outbox", "space"}
    brokers = {"broker_dns", "broker_tcp", "broker_tls", *BEHIND_TLS}
    assert set(report.having("skipped")) - {"unit"} == behind | brokers
    assert report.of("powered")["status"] == "ok", "Bluetooth needs no settings"


async def test_no_password_file(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "password").unlink()
    behind = {"broker_dns", "broker_tcp", "broker_tls", *BEHIND_TLS}
    judge(await patient.examined(), "broker_files", behind, fix="name a file")


# Broker


async def test_a_name_that_nobody_knows(patient: Patient) -> None:
    patient.settings["mqtt"]["brokers"] = ["broker.invalid"]
    behind = {"broker_tcp", "broker_tls", *BEHIND_TLS}
    judge(await patient.examined(), "broker_dns", behind, fix="spelt right")


async def test_a_port_where_nobody_listens(patient: Patient) -> None:
    patient.settings["mqtt"]["brokers"] = [f"127.0.0.1:{free_port()}"]
    judge(await patient.examined(), "broker_tcp", {"broker_tls", *BEHIND_TLS}, fix="run")


async def test_a_wrong_password(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong\n")
    report = await patient.examined()
    judge(report, "broker_credentials", {"broker_acl"}, fix="password_file")
    assert "wrong" not in report.of("broker_credentials")["found"], "secrets are not shown"


async def test_an_acl_that_denies(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path) -> None:
    broker = await start_broker(acl="user gateway\ntopic write elsewhere/#\n")
    report = await Patient(tmp_path, broker.address).examined()
    judge(report, "broker_acl", set(), fix="config/acl")
    assert "healthd/gateway/doctor" in report.of("broker_acl")["found"]


async def test_an_acl_that_denies_without_a_word(
    bluez: BlueZ, start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = await start_broker(acl="user gateway\ntopic write elsewhere/#\n")
    patient = Patient(tmp_path, broker.address)
    patient.settings["mqtt"]["version"] = "3.1.1"
    report = await patient.examined()
    assert (report.code, report.having("wrong")) == (0, [])
    assert report.of("broker_acl")["status"] == "skipped", "nobody can know"


@needs_openssl
@pytest.mark.parametrize("broken", ["", "authority", "host", "plain", "old", "too old"])
async def test_tls(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path, broken: str) -> None:
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    days = {"old": 20, "too old": -1}.get(broken, 90)
    certificate, key = authority.issue("localhost", days=days)
    broker = await start_broker(more=f"certfile {certificate}\nkeyfile {key}")
    host = "127.0.0.1" if broken == "host" else "localhost"
    patient = Patient(tmp_path, f"{host}:{broker.port}")
    if broken != "plain":
        trusted = other if broken == "authority" else authority
        patient.settings["mqtt"] |= {"tls": True, "ca_file": str(trusted.certificate)}
    report = await patient.examined()
    match broken:
        case "":
            assert (report.code, report.having("wrong")) == (0, [])
            assert report.of("broker_tls")["found"] == "the certificate is trusted, 90 days more"
        case "old":
            assert (report.code, report.having("warning")) == (0, ["broker_tls"])
            assert report.of("broker_tls")["found"] == "the certificate expires in 20 days"
            assert "config/broker" in report.of("broker_tls")["fix"]
        case "plain":
            judge(report, "broker_credentials", {"broker_acl"}, fix="tls = true")
        case "too old":
            judge(report, "broker_tls", BEHIND_TLS, fix="renew it")
        case _:
            judge(report, "broker_tls", BEHIND_TLS, fix="ca_file")


async def test_tls_to_a_port_without(patient: Patient) -> None:
    patient.settings["mqtt"]["tls"] = True
    judge(await patient.examined(), "broker_tls", BEHIND_TLS, fix="8883")


async def test_one_broker_of_two(patient: Patient) -> None:
    good = patient.settings["mqtt"]["brokers"][0]
    bad = f"127.0.0.1:{free_port()}"
    patient.settings["mqtt"]["brokers"] = [bad, good]
    report = await patient.examined()
    assert (report.code, report.having("wrong")) == (1, ["broker_tcp"])
    acl = {one["of"]: one["status"] for one in report.findings if one["check"] == "broker_acl"}
    assert acl == {bad: "skipped", good: "ok"}


# Clock, outbox, service


async def test_an_unsynchronised_clock(patient: Patient) -> None:
    (patient.root / "run/systemd/timesync/synchronized").unlink()
    judge(await patient.examined(), "clock", set(), fix="timedatectl set-ntp true")


@pytest.mark.parametrize(("says", "status"), [("yes", "ok"), ("no", "warning")])
async def test_a_clock_that_others_set(patient: Patient, says: str, status: str) -> None:
    (patient.root / "run/systemd/timesync/synchronized").unlink()
    (patient.root / "run/systemd/timesync").rmdir()
    patient.program("timedatectl", says)
    report = await patient.examined()
    assert (report.code, report.of("clock")["status"]) == (0, status)


@pytest.mark.parametrize(
    ("harm", "fix"),
    [(SmallDisk.fill, "full"), (SmallDisk.make_read_only, "read-only")],
    ids=["full", "read-only"],
)
async def test_a_disk_that_takes_nothing(
    patient: Patient, small_disk: SmallDisk, harm: Callable[[SmallDisk], None], fix: str
) -> None:
    patient.settings["outbox"]["directory"] = str(small_disk.folder)
    assert (await patient.examined()).code == 0
    harm(small_disk)
    judge(await patient.examined(), "outbox", {"space"}, fix=fix)


async def test_a_disk_that_is_too_small(patient: Patient) -> None:
    patient.settings["outbox"]["max_size"] = "900TB"
    report = await patient.examined()
    assert (report.code, report.having("warning")) == (0, ["space"])


async def test_an_outbox_in_the_place_of_a_file(patient: Patient, tmp_path: Path) -> None:
    patient.settings["outbox"]["directory"] = str(tmp_path / "password/outbox")
    judge(await patient.examined(), "outbox", {"space"}, fix="make it|name a folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root asks for another user")
async def test_root_asks_for_the_service(patient: Patient) -> None:
    patient.service_uid = 65534
    report = await patient.examined()
    judge(report, "outbox", {"space", "dbus_rights"}, fix="chown")
    os.chown(patient.outbox, 65534, -1)
    report = await patient.examined()
    assert (report.code, report.having("wrong")) == (0, [])
    assert "sudo -u healthd" in report.of("dbus_rights")["fix"]


async def test_a_kernel_that_does_not_limit_memory(patient: Patient) -> None:
    patient.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    report = await patient.examined()
    assert (report.code, report.having("warning")) == (0, ["memory_cgroup"])
    assert "cgroup_enable=memory" in report.of("memory_cgroup")["fix"]


async def test_a_unit_that_may_too_much(patient: Patient) -> None:
    said = "Overall exposure level for healthd.service: {} MEDIUM"
    patient.program("systemd-analyze", said.format("1.0"))
    assert (await patient.examined()).of("unit")["status"] == "ok"
    patient.program("systemd-analyze", said.format("6.1"))
    report = await patient.examined()
    assert (report.code, report.having("warning")) == (0, ["unit"])
    assert "systemctl cat healthd" in report.of("unit")["fix"]


async def test_the_wifi_of_a_pi(patient: Patient) -> None:
    patient.write("sys/class/net/wlan0/wireless/status", "0\n")
    patient.write("sys/class/net/wlan0/operstate", "up\n")
    assert (await patient.examined()).of("coexistence")["status"] == "ok"
    patient.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    report = await patient.examined()
    assert (report.code, report.having("warning")) == (0, ["coexistence"])
    patient.write("sys/class/bluetooth/hci0/device/bInterfaceNumber", "00\n")
    assert (await patient.examined()).of("coexistence")["status"] == "ok", "a dongle"


async def test_more_peripherals_than_slots(patient: Patient) -> None:
    patient.settings["bluetooth"]["slots"] = 1
    assert (await patient.examined()).of("slots")["status"] == "ok"
    patient.straps = 2
    report = await patient.examined()
    assert (report.code, report.having("warning")) == (0, ["slots"])


# A daemon that runs


async def test_a_running_daemon_is_not_disturbed(patient: Patient, tmp_path: Path) -> None:
    """Neither its connection, nor its outbox, nor what others see of it."""
    host, _, port = patient.settings["mqtt"]["brokers"][0].partition(":")
    mqtt = MqttSettings(
        brokers=(Broker(host=host, port=int(port)),),
        username="gateway",
        password_file=tmp_path / "password",
    )
    settings = Settings(gateway=GatewaySettings(id="gateway"), mqtt=mqtt)
    (endpoint,) = endpoints(settings, Topics("healthd", "gateway"), {})
    lock = patient.outbox / "outbox.lock"
    async with (
        Subscriber(int(port), username="reader", password="right") as subscriber,
        AckedClient(endpoint) as daemon,
    ):
        with lock.open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert (await patient.examined()).code == 0
        await daemon.send("healthd/gateway/after", b"")
        await subscriber.until_payload("healthd/gateway/after", b"")
        topics = [one.topic for one in subscriber.messages]
    assert topics == ["healthd/gateway/doctor", "healthd/gateway/after"]
    assert [one.name for one in patient.outbox.iterdir()] == ["outbox.lock"]
    assert not any(one.retained for one in subscriber.messages)
