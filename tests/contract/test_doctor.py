"""healthd doctor on a healthy gateway and on broken ones: findings and exit codes.

mosquitto, dbus-daemon and disks are real; bluetoothd and the system's files are simulated.
"""

import fcntl
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import endpoints
from healthd.mqtt.topics import Topics
from healthd.outbox.store import Store
from healthd.settings.brokers import Broker
from healthd.settings.model import GatewaySettings, MqttSettings, Settings
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.certificates import Authority, needs_openssl
from tests.support.examined_machine import ExaminedMachine, Report
from tests.support.mosquitto import (
    Mosquitto,
    StartMosquitto,
    free_port,
    needs_mosquitto,
    password_file,
)
from tests.support.subscriber import Subscriber
from tests.unit.outbox.bench import QUOTA, SmallDisk

pytestmark = [needs_dbus, needs_mosquitto]

ACL = "user gateway\ntopic write healthd/gateway/#\nuser reader\ntopic read #\n"
USERS = {"gateway": "right", "reader": "right"}

NEED_BLUEZ = {"dbus_rights", "bluez_version", "adapter", "powered", "slots"}
NEED_TLS = {"broker_credentials", "broker_acl"}


@pytest.fixture
async def bluez(bus: Bus) -> AsyncIterator[BlueZ]:
    """Run a bluetoothd with an adapter that is on."""
    async with BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        yield bluez


class StartBroker(Protocol):
    """The type of the fixture ``start_broker``."""

    async def __call__(self, acl: str = ..., more: str = ...) -> Mosquitto: ...


@pytest.fixture
def start_broker(mosquitto: StartMosquitto, tmp_path: Path) -> StartBroker:
    """Return a function that starts a broker with users and rights for the gateway."""

    async def start(acl: str = ACL, more: str = "") -> Mosquitto:
        rules = tmp_path / "acl"
        rules.write_text(acl)
        users = password_file(tmp_path, USERS)
        options = f"allow_anonymous false\npassword_file {users}\nacl_file {rules}\n{more}"
        return await mosquitto(options)

    return start


@pytest.fixture
async def machine(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path) -> ExaminedMachine:
    """Return a healthy gateway."""
    return ExaminedMachine(tmp_path, (await start_broker()).address)


def assert_wrong(report: Report, wrong: str, skipped: set[str], *, fix: str) -> None:
    """Check that one check is wrong, with its fix, and that dependent checks are skipped."""
    assert (report.code, report.ok) == (1, False), report
    assert report.having("wrong") == [wrong], report.findings
    assert set(report.having("skipped")) - {"unit"} == skipped, report.findings
    assert report.having("warning") == []
    assert re.search(fix, report.of(wrong)["fix"]), report.of(wrong)
    assert all(finding["found"] for finding in report.findings)


async def test_a_healthy_gateway(machine: ExaminedMachine) -> None:
    report = await machine.examined()
    assert (report.code, report.ok) == (0, True), report
    assert set(report.having("ok")) | {"unit"} == {finding["check"] for finding in report.findings}
    assert report.of("bluez_version")["found"] == "BlueZ 5.66"
    assert report.of("broker_acl")["of"] == machine.settings["mqtt"]["brokers"][0]
    assert not any(finding["fix"] for finding in report.findings if finding["check"] != "unit")


async def test_the_report_as_text(machine: ExaminedMachine) -> None:
    code, out = await machine.asked("text")
    assert code == 0
    assert re.search(r"^ok +powered +hci0 is on$", out, re.MULTILINE)
    machine.write("sys/class/rfkill/rfkill0/soft", "1\n")
    code, out = await machine.asked("text")
    assert code == 1
    assert re.search(r"^wrong +rfkill +hci0 is blocked", out, re.MULTILINE)
    assert "→ unblock it: sudo rfkill unblock bluetooth" in out


# Bluetooth


async def test_without_a_bus(machine: ExaminedMachine, tmp_path: Path) -> None:
    machine.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/nowhere"
    assert_wrong(
        await machine.examined(), "dbus", NEED_BLUEZ | {"bluez"}, fix="systemctl start dbus"
    )


async def test_without_bluetoothd(bluez: BlueZ, machine: ExaminedMachine) -> None:
    await bluez.kill()
    assert_wrong(await machine.examined(), "bluez", NEED_BLUEZ, fix="enable --now bluetooth")


async def test_a_bluetoothd_that_hangs(bluez: BlueZ, machine: ExaminedMachine) -> None:
    await bluez.do("hang", members=["GetManagedObjects"])
    report = await machine.examined()
    assert_wrong(report, "bluez", NEED_BLUEZ, fix="systemctl restart bluetooth")
    assert "no answer" in report.of("bluez")["found"]


async def test_access_to_bluez_is_denied(
    start_broker: StartBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rule does not affect bluetoothd: its answers have another destination.
    rules = '<deny send_destination="org.bluez"/>'
    with TemporaryDirectory(prefix="bus-") as folder:
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(Bus(Path(folder), rules))
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
            await stack.enter_async_context(BlueZ(bus, adapters={"hci0": True}))
            machine = ExaminedMachine(tmp_path, (await start_broker()).address)
            report = await machine.examined()
    assert_wrong(report, "dbus_rights", NEED_BLUEZ - {"dbus_rights"}, fix=r"healthd-dbus\.conf")


@pytest.mark.parametrize(
    ("modalias", "tool"),
    [("usb:v1D6Bp0246d0532", "5.66"), ("bluetooth:v000Ap0001d0542", "5.50")],
    ids=["version from BlueZ", "version from bluetoothctl"],
)
async def test_a_bluez_that_is_too_old(
    bus: Bus, start_broker: StartBroker, tmp_path: Path, modalias: str, tool: str
) -> None:
    async with BlueZ(bus, adapters={"hci0": True}, modalias=modalias):
        machine = ExaminedMachine(tmp_path, (await start_broker()).address)
        machine.program("bluetoothctl", f"bluetoothctl: {tool}")
        report = await machine.examined()
    assert_wrong(report, "bluez_version", set(), fix="5.55 or newer")
    assert report.of("bluez_version")["found"] == "BlueZ 5.50 is too old"


async def test_without_an_adapter(bluez: BlueZ, machine: ExaminedMachine) -> None:
    machine.program("bluetoothctl", "bluetoothctl: 5.66")
    await bluez.do("unplug", adapter="hci0")
    assert_wrong(await machine.examined(), "adapter", {"powered"}, fix="plug one in")


async def test_the_adapter_of_the_settings_is_missing(machine: ExaminedMachine) -> None:
    machine.settings["bluetooth"]["adapter"] = "hci3"
    assert_wrong(await machine.examined(), "adapter", {"powered"}, fix="hci0")


async def test_an_adapter_that_is_off(bluez: BlueZ, machine: ExaminedMachine) -> None:
    await bluez.do("power", adapter="hci0", on=False)
    assert_wrong(await machine.examined(), "powered", set(), fix="bluetoothctl power on")


@pytest.mark.parametrize(("which", "fix"), [("soft", "rfkill unblock"), ("hard", "switch or key")])
async def test_a_blocked_adapter(
    bluez: BlueZ, machine: ExaminedMachine, which: str, fix: str
) -> None:
    await bluez.do("power", adapter="hci0", on=False)
    machine.write(f"sys/class/rfkill/rfkill0/{which}", "1\n")
    assert_wrong(await machine.examined(), "rfkill", {"powered"}, fix=fix)


# Settings


async def test_every_bad_setting_is_reported(machine: ExaminedMachine) -> None:
    machine.settings["mqtt"]["verison"] = "5"
    machine.settings["outbox"]["max_size"] = "much"
    report = await machine.examined()
    assert (report.code, report.having("wrong")) == (1, ["settings", "settings"])
    first, second = (finding for finding in report.findings if finding["status"] == "wrong")
    assert "mqtt.verison" in first["found"] + second["found"]
    assert "outbox.max_size" in first["found"] + second["found"]
    assert "did you mean" in first["fix"] + second["fix"]
    dependent = {"secrets", "keys", "slots", "broker_files", "outbox", "space"}
    brokers = {"broker_dns", "broker_tcp", "broker_tls", *NEED_TLS}
    assert set(report.having("skipped")) - {"unit"} == dependent | brokers
    assert report.of("powered")["status"] == "ok", "Bluetooth needs no settings"


async def test_a_missing_password_file(machine: ExaminedMachine, tmp_path: Path) -> None:
    (tmp_path / "password").unlink()
    dependent = {"broker_dns", "broker_tcp", "broker_tls", *NEED_TLS}
    assert_wrong(await machine.examined(), "broker_files", dependent, fix="name a file")


# Broker


async def test_an_unknown_host_name(machine: ExaminedMachine) -> None:
    machine.settings["mqtt"]["brokers"] = ["broker.invalid"]
    dependent = {"broker_tcp", "broker_tls", *NEED_TLS}
    assert_wrong(await machine.examined(), "broker_dns", dependent, fix="check the spelling")


async def test_a_port_without_a_listener(machine: ExaminedMachine) -> None:
    machine.settings["mqtt"]["brokers"] = [f"127.0.0.1:{free_port()}"]
    assert_wrong(
        await machine.examined(), "broker_tcp", {"broker_tls", *NEED_TLS}, fix="broker is running"
    )


async def test_a_wrong_password(machine: ExaminedMachine, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong\n")
    report = await machine.examined()
    assert_wrong(report, "broker_credentials", {"broker_acl"}, fix="password_file")
    assert "wrong" not in report.of("broker_credentials")["found"], "secrets are not shown"


async def test_an_acl_that_denies(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path) -> None:
    broker = await start_broker(acl="user gateway\ntopic write elsewhere/#\n")
    report = await ExaminedMachine(tmp_path, broker.address).examined()
    assert_wrong(report, "broker_acl", set(), fix="config/acl")
    assert "healthd/gateway/doctor" in report.of("broker_acl")["found"]


async def test_an_acl_that_denies_over_mqtt_3_1_1(
    bluez: BlueZ, start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = await start_broker(acl="user gateway\ntopic write elsewhere/#\n")
    machine = ExaminedMachine(tmp_path, broker.address)
    machine.settings["mqtt"]["version"] = "3.1.1"
    report = await machine.examined()
    assert (report.code, report.having("wrong")) == (0, [])
    assert report.of("broker_acl")["status"] == "skipped", "MQTT 3.1.1 does not report it"


@needs_openssl
@pytest.mark.parametrize("broken", ["", "authority", "host", "plain", "old", "too old"])
async def test_tls(bluez: BlueZ, start_broker: StartBroker, tmp_path: Path, broken: str) -> None:
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    days = {"old": 20, "too old": -1}.get(broken, 90)
    certificate, key = authority.issue("localhost", days=days)
    broker = await start_broker(more=f"certfile {certificate}\nkeyfile {key}")
    host = "127.0.0.1" if broken == "host" else "localhost"
    machine = ExaminedMachine(tmp_path, f"{host}:{broker.port}")
    if broken != "plain":
        trusted = other if broken == "authority" else authority
        machine.settings["mqtt"] |= {"tls": True, "ca_file": str(trusted.certificate)}
    report = await machine.examined()
    match broken:
        case "":
            assert (report.code, report.having("wrong")) == (0, [])
            assert report.of("broker_tls")["found"] == (
                "the certificate is trusted and valid for 90 days"
            )
        case "old":
            assert (report.code, report.having("warning")) == (0, ["broker_tls"])
            assert report.of("broker_tls")["found"] == "the certificate expires in 20 days"
            assert "config/broker" in report.of("broker_tls")["fix"]
        case "plain":
            assert_wrong(report, "broker_credentials", {"broker_acl"}, fix="tls = true")
        case "too old":
            assert_wrong(report, "broker_tls", NEED_TLS, fix="renew it")
        case _:
            assert_wrong(report, "broker_tls", NEED_TLS, fix="ca_file")


@needs_openssl
@pytest.mark.parametrize(
    ("days", "status", "found", "fix"),
    [
        (90, "ok", "valid until", ""),
        (20, "warning", "expires in 19 days", "renew it"),
        (-1, "wrong", "expired on", "renew it"),
    ],
)
async def test_the_dates_of_the_client_certificate(
    bluez: BlueZ,
    start_broker: StartBroker,
    tmp_path: Path,
    days: int,
    status: str,
    found: str,
    fix: str,
) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost")
    broker = await start_broker(
        more=f"certfile {certificate}\nkeyfile {key}\ncafile {authority.certificate}\n"
        "require_certificate true"
    )
    mine, its_key = authority.issue("gateway", days=days)
    machine = ExaminedMachine(tmp_path, f"localhost:{broker.port}")
    machine.settings["mqtt"] |= {
        "tls": True,
        "ca_file": str(authority.certificate),
        "cert_file": str(mine),
        "key_file": str(its_key),
    }
    report = await machine.examined()
    files = report.of("broker_files")
    assert files["status"] == status
    assert found in files["found"]
    assert fix in files["fix"]
    # What the broker says about it, in place of an answer.
    refused = report.of("broker_credentials")
    assert (refused["status"] == "wrong") == (days < 0)
    if days < 0:
        assert "closed the connection before it answered" in refused["found"]
        assert "certificate expired" in refused["found"]
        assert "cert_file" in refused["fix"]


async def test_tls_with_a_plain_port(machine: ExaminedMachine) -> None:
    machine.settings["mqtt"]["tls"] = True
    assert_wrong(await machine.examined(), "broker_tls", NEED_TLS, fix="8883")


async def test_one_of_two_brokers_is_unreachable(machine: ExaminedMachine) -> None:
    good = machine.settings["mqtt"]["brokers"][0]
    bad = f"127.0.0.1:{free_port()}"
    machine.settings["mqtt"]["brokers"] = [bad, good]
    report = await machine.examined()
    assert (report.code, report.having("wrong")) == (1, ["broker_tcp"])
    findings = [finding for finding in report.findings if finding["check"] == "broker_acl"]
    acl = {finding["of"]: finding["status"] for finding in findings}
    assert acl == {bad: "skipped", good: "ok"}


# Clock, outbox, service


async def test_an_unsynchronised_clock(machine: ExaminedMachine) -> None:
    (machine.root / "run/systemd/timesync/synchronized").unlink()
    assert_wrong(await machine.examined(), "clock", set(), fix="timedatectl set-ntp true")


@pytest.mark.parametrize(("output", "status"), [("yes", "ok"), ("no", "warning")])
async def test_a_clock_set_by_another_time_service(
    machine: ExaminedMachine, output: str, status: str
) -> None:
    (machine.root / "run/systemd/timesync/synchronized").unlink()
    (machine.root / "run/systemd/timesync").rmdir()
    machine.program("timedatectl", output)
    report = await machine.examined()
    assert (report.code, report.of("clock")["status"]) == (0, status)


async def test_an_unknown_time_zone(machine: ExaminedMachine) -> None:
    machine.environ["TZ"] = '"Europe/Berlin"'
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["time_zone"])
    finding = report.of("time_zone")
    assert machine.environ["TZ"] in finding["found"]
    assert "without quotes" in finding["fix"]


@pytest.mark.parametrize(
    ("damage", "fix"),
    [(SmallDisk.fill, "full"), (SmallDisk.make_read_only, "read-only")],
    ids=["full", "read-only"],
)
async def test_a_disk_that_cannot_be_written(
    machine: ExaminedMachine, small_disk: SmallDisk, damage: Callable[[SmallDisk], None], fix: str
) -> None:
    machine.settings["outbox"]["directory"] = str(small_disk.folder)
    assert (await machine.examined()).code == 0
    damage(small_disk)
    assert_wrong(await machine.examined(), "outbox", {"space"}, fix=fix)


async def test_a_disk_with_too_little_space(machine: ExaminedMachine) -> None:
    machine.settings["outbox"]["max_size"] = "900TB"
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["space"])


async def test_an_outbox_folder_below_a_file(machine: ExaminedMachine, tmp_path: Path) -> None:
    machine.settings["outbox"]["directory"] = str(tmp_path / "password/outbox")
    assert_wrong(
        await machine.examined(), "outbox", {"space", "keys"}, fix="create it|usable folder"
    )


async def test_an_outbox_of_another_version(machine: ExaminedMachine) -> None:
    path = machine.outbox / "outbox.sqlite3"
    Store(path, QUOTA).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["outbox"])
    assert "version 7" in report.of("outbox")["found"]
    assert "install the version of healthd" in report.of("outbox")["fix"]
    # Once healthd has started, its own file is all right, and the other one is still named.
    Store(path, QUOTA).close()
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["outbox"])
    assert "0 samples waiting; set aside: outbox.version-7-" in report.of("outbox")["found"]
    assert "docs/delivery.md" in report.of("outbox")["fix"]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: needs root")
async def test_root_checks_the_services_outbox(machine: ExaminedMachine) -> None:
    machine.service_uid = 65534
    report = await machine.examined()
    assert_wrong(report, "outbox", {"space", "dbus_rights"}, fix="chown")
    os.chown(machine.outbox, 65534, -1)
    report = await machine.examined()
    assert (report.code, report.having("wrong")) == (0, [])
    assert "sudo -u healthd" in report.of("dbus_rights")["fix"]


async def test_a_kernel_that_does_not_limit_memory(machine: ExaminedMachine) -> None:
    machine.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["memory_cgroup"])
    assert "cgroup_enable=memory" in report.of("memory_cgroup")["fix"]


async def test_an_exposed_unit(machine: ExaminedMachine) -> None:
    rating = "Overall exposure level for healthd.service: {} MEDIUM"
    machine.program("systemd-analyze", rating.format("1.0"))
    assert (await machine.examined()).of("unit")["status"] == "ok"
    machine.program("systemd-analyze", rating.format("6.1"))
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["unit"])
    assert "systemctl cat healthd" in report.of("unit")["fix"]


async def test_wifi_and_bluetooth_share_an_antenna_on_a_pi(machine: ExaminedMachine) -> None:
    machine.write("sys/class/net/wlan0/wireless/status", "0\n")
    machine.write("sys/class/net/wlan0/operstate", "up\n")
    assert (await machine.examined()).of("coexistence")["status"] == "ok"
    machine.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["coexistence"])
    machine.write("sys/class/bluetooth/hci0/device/bInterfaceNumber", "00\n")
    assert (await machine.examined()).of("coexistence")["status"] == "ok", "a dongle"


async def test_more_peripherals_than_slots(machine: ExaminedMachine) -> None:
    machine.settings["bluetooth"]["slots"] = 1
    assert (await machine.examined()).of("slots")["status"] == "ok"
    machine.straps = 2
    report = await machine.examined()
    assert (report.code, report.having("warning")) == (0, ["slots"])


# A running daemon


async def test_a_running_daemon_is_not_disturbed(machine: ExaminedMachine, tmp_path: Path) -> None:
    """Its connection and its outbox stay, and subscribers see only the doctor's message."""
    host, _, port = machine.settings["mqtt"]["brokers"][0].partition(":")
    mqtt = MqttSettings(
        brokers=(Broker(host=host, port=int(port)),),
        username="gateway",
        password_file=tmp_path / "password",
    )
    settings = Settings(gateway=GatewaySettings(id="gateway"), mqtt=mqtt)
    (endpoint,) = endpoints(settings, Topics("healthd", "gateway"), {})
    lock = machine.outbox / "outbox.lock"
    async with (
        Subscriber(int(port), username="reader", password="right") as subscriber,
        AckedClient(endpoint) as daemon,
    ):
        with lock.open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert (await machine.examined()).code == 0
        await daemon.send("healthd/gateway/after", b"")
        await subscriber.until_payload("healthd/gateway/after", b"")
        topics = [message.topic for message in subscriber.messages]
    assert topics == ["healthd/gateway/doctor", "healthd/gateway/after"]
    assert [path.name for path in machine.outbox.iterdir()] == ["outbox.lock"]
    assert not any(message.retained for message in subscriber.messages)
