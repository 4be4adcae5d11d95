"""Checks that this user may not run are skipped and name the user who can run them."""

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
from healthd.settings.brokers import Broker
from healthd.settings.model import MqttSettings, OutboxSettings, Settings
from tests.support.folders import let_others_enter

OTHER_UID = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: only root can make files that others may not read"
)


@contextmanager
def other_user() -> Generator[None]:
    """Run the block as another user."""
    os.seteuid(OTHER_UID)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that all users can reach."""
    let_others_enter(tmp_path)
    return tmp_path


@needs_root
def test_unreadable_settings(folder: Path) -> None:
    config = folder / "healthd.toml"
    config.write_text("peripherals = []")
    config.chmod(0o600)
    machine, known = Machine({}, service_uid=1), registry.load()
    with other_user():
        findings, settings = check_settings(machine, config, {}, known)
    assert settings is None
    assert {finding.status for finding in findings} == {Status.SKIPPED}
    assert "sudo -u healthd" in findings[0].fix
    findings, settings = check_settings(machine, config, {}, known)
    assert settings is not None
    assert findings[0].fix == "find devices and add them: sudo healthd scan"


@needs_root
async def test_an_inaccessible_outbox(folder: Path) -> None:
    state = folder / "state"
    state.mkdir(mode=0o700)
    settings = Settings(outbox=OutboxSettings(directory=state))
    with other_user():
        # First as another user than the service's, then as the service's user.
        as_other = await check_outbox(Machine({}, service_uid=1), settings, {})
        as_service = await check_outbox(Machine({}, service_uid=OTHER_UID), settings, {})
    assert [finding.status for finding in as_other] == [Status.SKIPPED, Status.SKIPPED]
    assert "sudo -u healthd" in as_other[0].fix
    assert [finding.status for finding in as_service] == [Status.WRONG, Status.SKIPPED]
    assert "chown" in as_service[0].fix


@needs_root
async def test_only_root_can_check_the_units_password(folder: Path) -> None:
    secret = folder / "etc/healthd/mqtt-password"
    secret.parent.mkdir(parents=True)
    secret.write_text("right\n")
    secret.chmod(0o600)
    # Nothing listens there: root finds that out, while the other user's broker checks are skipped.
    settings = Settings(mqtt=MqttSettings(brokers=(Broker(host="127.0.0.1", port=1),)))
    environ = Machine({}, folder).as_daemon(installed=True)
    with other_user():
        files, *rest = await check_brokers(settings, environ)
    assert files.status is Status.SKIPPED
    assert "sudo healthd doctor" in files.fix
    assert {finding.status for finding in rest} == {Status.SKIPPED}
    files, dns, tcp, *_ = await check_brokers(settings, environ)
    assert [files.status, dns.status, tcp.status] == [Status.OK, Status.OK, Status.WRONG]


def test_the_units_folders_are_used_only_with_the_units_settings(folder: Path) -> None:
    for name in ("etc/healthd", "var/lib/healthd"):
        (folder / name).mkdir(parents=True)
    machine = Machine({"STATE_DIRECTORY": "/elsewhere"}, folder)
    assert machine.as_daemon(installed=False) == {"STATE_DIRECTORY": "/elsewhere"}
    assert machine.as_daemon(installed=True) == {
        "STATE_DIRECTORY": "/elsewhere",
        "CREDENTIALS_DIRECTORY": str(folder / "etc/healthd"),
    }
