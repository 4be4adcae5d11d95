"""``config/broker``: what it creates, what it keeps, and what it renews."""

import os
import re
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from tests.chaos.faketime import FakeTime, needs_faketime
from tests.support.shipped import OWN_ID, Machine, needs_broker_command

pytestmark = needs_broker_command

# The longest validity of a server's certificate that Apple's systems accept.
LONGEST_DAYS = 825


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def verify(pem: Path, ca: Path, *options: str) -> None:
    openssl("verify", "-CAfile", ca, "-no-CApath", "-x509_strict", *options, pem)


def seconds_valid(certificate: Path) -> float:
    dates = openssl("x509", "-in", certificate, "-noout", "-startdate", "-enddate")
    first, last = (ssl.cert_time_to_seconds(date) for date in re.findall("=(.*)", dates))
    return last - first


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Certificates


def test_the_certificate_passes_strict_verification_by_openssl(machine: Machine) -> None:
    output = machine.broker("setup", "broker.lan", "192.168.1.10", "fd00::1")
    assert "DNS:broker.lan,IP:192.168.1.10,IP:fd00::1" in output
    for option, name in (("hostname", "broker.lan"), ("ip", "192.168.1.10"), ("ip", "fd00::1")):
        verify(machine.pem, machine.trusted, "-purpose", "sslserver", f"-verify_{option}", name)
    with pytest.raises(AssertionError, match="hostname mismatch"):
        verify(machine.pem, machine.trusted, "-verify_hostname", "other.lan")
    with pytest.raises(AssertionError, match="unsuitable certificate purpose"):
        verify(machine.pem, machine.trusted, "-purpose", "sslclient")
    assert seconds_valid(machine.pem) < LONGEST_DAYS * 86400
    assert "prime256v1" in openssl("x509", "-in", machine.pem, "-noout", "-text")


def test_the_authority_is_limited_to_private_names_and_the_brokers_own(machine: Machine) -> None:
    machine.broker("setup", "broker.example.org")
    text = openssl("x509", "-in", machine.trusted, "-noout", "-text")
    assert re.search(r"Basic Constraints: critical\s+CA:TRUE, pathlen:0\s", text)
    assert re.search(r"Key Usage: critical\s+Certificate Sign, CRL Sign\s", text)
    permitted = text.partition("Name Constraints: critical")[2]
    assert {"DNS:local", "DNS:localhost", "DNS:broker.example.org"} <= set(permitted.split())
    verify(machine.trusted, machine.trusted)
    # Only root can read its key; mosquitto cannot.
    assert (mode(machine.ca), mode(machine.ca / "ca.key")) == (0o700, 0o600)
    assert machine.trusted.read_bytes() == (machine.healthd / "ca.crt").read_bytes()
    assert "KEY" not in machine.trusted.read_text()


def test_without_names_the_certificate_has_those_of_this_machine(machine: Machine) -> None:
    machine.broker("setup")
    host = os.uname().nodename
    for name in (host, f"{host.partition('.')[0]}.local", "localhost"):
        verify(machine.pem, machine.trusted, "-verify_hostname", name)


def test_a_private_name_can_be_added_and_a_public_one_is_refused(machine: Machine) -> None:
    machine.broker("setup", "broker.lan")
    before = machine.files()
    assert "Nothing to do." in machine.broker("setup", "broker.lan")
    code, output = machine.tried("setup", "bank.example")
    assert code == 1
    assert "does not permit all of these names" in output
    assert "/etc/healthd-ca/ca.cnf" in output
    assert machine.files() == before
    machine.broker("setup", "::1")
    after = machine.pem.read_bytes()
    # The same address, written differently.
    assert "Nothing to do." in machine.broker("setup", "0:0:0::1")
    assert machine.pem.read_bytes() == after
    for option, name in (("hostname", "broker.lan"), ("ip", "::1")):
        verify(machine.pem, machine.trusted, f"-verify_{option}", name)


def test_a_public_name_is_accepted_once_the_authority_permits_it(machine: Machine) -> None:
    machine.broker("setup", "broker.lan")
    key = (machine.ca / "ca.key").read_bytes()
    description = machine.ca / "ca.cnf"
    description.write_text(f"{description.read_text()}permitted;DNS.99 = broker.example.org\n")
    (machine.ca / "ca.crt").unlink()
    machine.broker("setup", "broker.example.org")
    verify(machine.pem, machine.trusted, "-verify_hostname", "broker.example.org")
    assert (machine.ca / "ca.key").read_bytes() == key


@needs_faketime
def test_only_certificates_that_expire_soon_are_renewed(machine: Machine, tmp_path: Path) -> None:
    machine.broker("setup", "broker.lan")
    pem, first_ca = machine.pem.read_bytes(), tmp_path / "first.crt"
    first_ca.write_bytes(machine.trusted.read_bytes())
    clock = FakeTime(tmp_path, "+700d")
    machine.environ = clock.environ
    assert "Nothing to do." in machine.broker("setup")
    clock.set("+720d")
    output = machine.broker("setup")
    assert "certificate is for DNS:broker.lan" in output
    assert "authority" not in output
    assert machine.pem.read_bytes() != pem
    assert machine.trusted.read_bytes() == first_ca.read_bytes()
    verify(machine.pem, machine.trusted, "-no_check_time")
    # The authority has to outlive what it signs. Its new certificate has the same key.
    clock.set("+2800d")
    output = machine.broker("setup")
    assert "The authority's certificate is renewed: copy the new one to every machine" in output
    assert machine.trusted.read_bytes() != first_ca.read_bytes()
    assert (machine.healthd / "ca.crt").read_bytes() == machine.trusted.read_bytes()
    for ca in (first_ca, machine.trusted):
        verify(machine.pem, ca, "-no_check_time", "-verify_hostname", "broker.lan")


def test_renew_needs_the_authoritys_key(machine: Machine, tmp_path: Path) -> None:
    machine.broker("setup", "broker.lan")
    pem = machine.pem.read_bytes()
    (machine.ca / "ca.key").rename(tmp_path / "stick")
    assert "Nothing to do." in machine.broker("setup"), "the key may be kept elsewhere"
    code, output = machine.tried("renew")
    assert (code, machine.pem.read_bytes()) == (1, pem)
    assert "restore /etc/healthd-ca/ca.key" in output
    (tmp_path / "stick").rename(machine.ca / "ca.key")
    machine.broker("renew")
    assert machine.pem.read_bytes() != pem
    verify(machine.pem, machine.trusted, "-verify_hostname", "broker.lan")


def test_a_new_authority_replaces_a_stolen_one(machine: Machine, tmp_path: Path) -> None:
    machine.broker("setup")
    before = machine.trusted.read_bytes()
    machine.broker("certificate", "kitchen")
    machine.ca.rename(tmp_path / "stolen")
    machine.broker("setup")
    assert machine.trusted.read_bytes() != before
    assert (machine.healthd / "ca.crt").read_bytes() == machine.trusted.read_bytes()
    verify(machine.pem, machine.trusted, "-verify_hostname", os.uname().nodename)
    with pytest.raises(AssertionError, match=r"local issuer|signature failure"):
        verify(tmp_path / "stolen/kitchen.pem", machine.trusted)


# Users


def test_passwords_are_random_and_hashed_and_readable_only_by_root(machine: Machine) -> None:
    machine.broker("setup")
    machine.broker("gateway", "kitchen")
    own = machine.own_password.read_text().strip()
    passwords = {own, *machine.passwords.values()}
    assert set(machine.passwords) == {"reader", "kitchen"}
    assert len(passwords) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", password) for password in passwords)
    hashed = (machine.mosquitto / "healthd.passwd").read_text()
    assert {line.partition(":")[0] for line in hashed.splitlines()} == {
        "reader",
        OWN_ID,
        "kitchen",
    }
    assert not any(password in hashed for password in passwords)
    for name in ("healthd.passwd", "healthd.acl", "certs/healthd.pem"):
        assert mode(machine.mosquitto / name) == 0o600
    assert mode(machine.own_password) == 0o600
    assert (mode(machine.trusted), mode(machine.mosquitto / "conf.d/healthd.conf")) == (
        0o644,
        0o644,
    )


def test_a_second_setup_changes_nothing(machine: Machine) -> None:
    machine.broker("setup")
    machine.broker("gateway", "kitchen")
    machine.broker("controller", "trainer", "kitchen")
    before = machine.files()
    assert machine.broker("setup") == "Nothing to do.\n"
    for again in (
        ("gateway", "kitchen"),
        ("reader", "reader"),
        ("controller", "trainer", "kitchen"),
    ):
        assert "password of" not in machine.broker(*again)
    assert machine.files() == before


def test_changes_by_hand_are_kept(machine: Machine) -> None:
    machine.broker("setup")
    for name in ("healthd.acl", "conf.d/healthd.conf"):
        file = machine.mosquitto / name
        file.write_text(file.read_text().replace("healthd/", "health/").replace("8883", "8885"))
    before = machine.files()
    assert "Not changed" in machine.broker("setup")
    assert machine.files() == before


def test_an_existing_password_of_healthd_is_used(machine: Machine) -> None:
    machine.own_password.write_text("chosen by hand\n")
    machine.broker("setup")
    assert set(machine.passwords) == {"reader"}
    assert machine.own_password.read_text() == "chosen by hand\n"
    assert f"\n{OWN_ID}:" in (machine.mosquitto / "healthd.passwd").read_text()


def test_a_password_that_mosquitto_passwd_would_cut_is_refused(machine: Machine) -> None:
    machine.own_password.write_text("chosen: by hand\n")
    code, output = machine.tried("setup")
    assert code == 1
    assert "/etc/healthd/mqtt-password" in output


def test_id_prefix_and_discovery_come_from_the_settings(machine: Machine) -> None:
    settings = machine.healthd / "healthd.toml"
    settings.write_text(
        """
        # id = "kitchen"
        [gateway]
        id = "attic"
        [mqtt]
        prefix = "home/health"
        discovery = "hass"
        username = "gateway"
        [[peripherals]]
        id = "strap"
        """
    )
    output = machine.broker("setup")
    assert 'its settings have username = "gateway": remove that line' in output
    machine.broker("controller", "trainer", "attic")
    acl = (machine.mosquitto / "healthd.acl").read_text()
    assert {line for line in acl.splitlines() if line.startswith(("user", "topic"))} == {
        "user reader",
        "topic read home/health/#",
        "topic read hass/#",
        "user attic",
        "topic write home/health/attic/#",
        "topic read home/health/attic/request/#",
        "topic write hass/device/+/config",
        "topic read hass/status",
        "user trainer",
        "topic read home/health/attic/#",
        "topic write home/health/attic/request/#",
        "topic write hass/status",
    }


def test_a_machine_without_healthd(machine: Machine) -> None:
    (machine.healthd / "healthd.toml").unlink()
    machine.healthd.rmdir()
    machine.broker("setup")
    output = machine.broker("gateway", "kitchen")
    assert set(machine.passwords) == {"reader", "kitchen"}
    assert 'id = "kitchen"' in output
    assert not machine.healthd.exists()


# What it refuses


@pytest.mark.parametrize("line", ["listener 1883", "allow_anonymous true", "password_file /x"])
def test_setup_refuses_other_listeners_and_users(machine: Machine, line: str) -> None:
    other = machine.mosquitto / "conf.d/local.conf"
    other.parent.mkdir(parents=True)
    other.write_text(f"{line}\n")
    before = machine.files()
    code, output = machine.tried("setup")
    assert code == 1
    assert "/etc/mosquitto/conf.d/local.conf has listeners or users of its own" in output
    assert machine.files() == before


def test_bad_arguments_change_nothing(machine: Machine) -> None:
    machine.broker("setup")
    before = machine.files()
    for arguments in (
        (),
        ("set-up",),
        ("gateway",),
        ("gateway", "Kitchen"),
        ("gateway", "kitchen/#"),
        ("reader", "a:b"),
        ("controller", "trainer"),
        ("controller", "trainer", "+"),
        ("password", "unknown"),
        ("remove", "unknown"),
        ("setup", "broker.lan\nsubjectAltName = DNS:bank.example"),
        ("setup", "broker.lan,DNS:bank.example"),
    ):
        code, output = machine.tried(*arguments)
        assert code == 1, arguments
        assert output
        assert machine.files() == before


def test_users_cannot_be_added_before_setup(machine: Machine) -> None:
    code, output = machine.tried("gateway", "kitchen")
    assert code == 1
    assert "broker setup" in output
    assert not machine.mosquitto.exists()


def test_mosquitto_is_restarted_only_for_its_configuration(machine: Machine) -> None:
    (machine.root / "run/systemd/system").mkdir(parents=True)
    programs, calls = machine.root / "bin", machine.root / "calls"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{calls}\n')
    (programs / "systemctl").chmod(0o755)
    machine.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def called(*arguments: str) -> list[str]:
        calls.write_text("")
        machine.broker(*arguments)
        return [line for line in calls.read_text().splitlines() if "is-active" not in line]

    restarted = ["try-restart mosquitto.service", "try-restart healthd.service"]
    reloaded = ["try-reload-or-restart mosquitto.service"]
    assert called("setup") == restarted
    assert called("setup") == []
    assert called("gateway", "kitchen") == reloaded
    assert called("renew") == reloaded
    assert called("password", "kitchen") == reloaded
    assert called("password", OWN_ID) == [*reloaded, "try-restart healthd.service"]
