"""What those are told who may not look: it is skipped, with who may."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healthd.doctor.broker import check_brokers
from healthd.doctor.configuration import check_settings
from healthd.doctor.finding import Status
from healthd.doctor.machine import Machine
from healthd.doctor.storage import check_outbox
from healthd.profiles import registry
from healthd.settings.model import Broker, MqttSettings, OutboxSettings, Settings

NOBODY = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: only root can make files that others may not read"
)


@contextmanager
def nobody() -> Generator[None]:
    """Be another user while the block runs."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that everybody can reach."""
    for one in (tmp_path, *tmp_path.parents[:2]):
        one.chmod(0o755)
    return tmp_path


@needs_root
def test_settings_of_others(folder: Path) -> None:
    config = folder / "healthd.toml"
    config.write_text("")
    config.chmod(0o600)
    machine, known = Machine({}, service_uid=1), registry.load()
    with nobody():
        findings, settings = check_settings(machine, config, {}, known)
    assert settings is None
    assert {one.status for one in findings} == {Status.SKIPPED}
    assert "sudo -u healthd" in findings[0].fix
    findings, settings = check_settings(machine, config, {}, known)
    assert settings is not None
    assert findings[0].fix == "find some: sudo healthd scan"


@needs_root
async def test_an_outbox_of_others(folder: Path) -> None:
    state = folder / "state"
    state.mkdir(mode=0o700)
    settings = Settings(outbox=OutboxSettings(directory=state))
    with nobody():
        # A folder of the service, asked by somebody else; and the service, asked itself.
        elsewhere = await check_outbox(Machine({}, service_uid=1), settings, {})
        itself = await check_outbox(Machine({}, service_uid=NOBODY), settings, {})
    assert [one.status for one in elsewhere] == [Status.SKIPPED, Status.SKIPPED]
    assert "sudo -u healthd" in elsewhere[0].fix
    assert [one.status for one in itself] == [Status.WRONG, Status.SKIPPED]
    assert "chown" in itself[0].fix


@needs_root
async def test_the_units_password_is_roots(folder: Path) -> None:
    secret = folder / "etc/healthd/mqtt-password"
    secret.parent.mkdir(parents=True)
    secret.write_text("right\n")
    secret.chmod(0o600)
    # Nothing listens there: what root finds is that, and no broker is asked by the other.
    settings = Settings(mqtt=MqttSettings(brokers=(Broker(host="127.0.0.1", port=1),)))
    environ = Machine({}, folder).as_daemon(installed=True)
    with nobody():
        files, *rest = await check_brokers(settings, environ)
    assert files.status is Status.SKIPPED
    assert "sudo healthd doctor" in files.fix
    assert {one.status for one in rest} == {Status.SKIPPED}
    files, dns, tcp, *_ = await check_brokers(settings, environ)
    assert [files.status, dns.status, tcp.status] == [Status.OK, Status.OK, Status.WRONG]


def test_what_the_unit_gives_is_taken_for_the_units_settings_alone(folder: Path) -> None:
    for one in ("etc/healthd", "var/lib/healthd"):
        (folder / one).mkdir(parents=True)
    machine = Machine({"STATE_DIRECTORY": "/elsewhere"}, folder)
    assert machine.as_daemon(installed=False) == {"STATE_DIRECTORY": "/elsewhere"}
    assert machine.as_daemon(installed=True) == {
        "STATE_DIRECTORY": "/elsewhere",
        "CREDENTIALS_DIRECTORY": str(folder / "etc/healthd"),
    }
