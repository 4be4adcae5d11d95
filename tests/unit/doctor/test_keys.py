"""The keys of devices: whether the daemon can read them, and no other user."""

import os
from pathlib import Path
from typing import ClassVar

import pytest

from healthd.doctor.finding import Finding, Status
from healthd.doctor.keys import check_keys
from healthd.doctor.machine import Machine
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Dialogue, Pairing
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.settings.keys import Keys
from healthd.settings.model import OutboxSettings, PeripheralSettings, Settings
from tests.support.folders import let_others_enter
from tests.unit.doctor.test_rights import OTHER_UID, needs_root, other_user

KEY = bytes(range(16))


def agree(_key: bytes) -> Dialogue:
    yield b""


class Nothing(Measurement):
    kind: ClassVar[str] = "nothing"


def decode(_data: bytes) -> Nothing:
    return Nothing()


CONTROL = Characteristic("ff02", Nothing, decode, Use.CONTROL)
PAIRING = Pairing("ff02", agree, 16, "hold its button")
REGISTRY = Registry([Profile("cuff", "ff01", (CONTROL,), pairing=PAIRING)])
CUFF = PeripheralSettings(id="mine", service="cuff")
STRAP = PeripheralSettings(id="strap", name="Strap")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    let_others_enter(tmp_path)
    keys = Keys(tmp_path)
    keys.make_folder()
    return keys


def checked(
    keys: Keys, *entries: PeripheralSettings, service_uid: int | None = None
) -> list[Finding]:
    folder = keys.file("mine").parents[1]
    settings = Settings(outbox=OutboxSettings(directory=folder), peripherals=entries)
    return check_keys(Machine({}, service_uid=service_uid), settings, {}, REGISTRY)


def test_without_devices_that_have_a_key(keys: Keys) -> None:
    [found] = checked(keys, STRAP)
    assert (found.status, found.found) == (Status.OK, "0 peripherals with a key")


def test_a_good_key(keys: Keys) -> None:
    keys.store("mine", KEY)
    [found] = checked(keys, CUFF, STRAP, service_uid=os.geteuid())
    assert (found.status, found.found) == (Status.OK, "1 peripherals with a key")


def test_a_missing_key(keys: Keys) -> None:
    [found] = checked(keys, STRAP, CUFF)
    assert found.status is Status.WARNING
    assert found.fix == "hold its button, then: sudo healthd pair mine"


def test_a_key_that_others_can_open(keys: Keys) -> None:
    keys.store("mine", KEY)
    keys.file("mine").chmod(0o640)
    [found] = checked(keys, CUFF, service_uid=os.geteuid())
    assert (found.status, found.fix) == (Status.WARNING, f"chmod 600 {keys.file('mine')}")


def test_something_else_in_the_file(keys: Keys) -> None:
    keys.file("mine").write_text("hunter2")
    [found] = checked(keys, CUFF)
    assert found.status is Status.WRONG
    assert str(keys.file("mine")) in found.found
    assert "hunter2" not in found.found
    assert found.fix.endswith("healthd pair mine --again")


@needs_root
def test_a_key_of_another_user(keys: Keys) -> None:
    keys.store("mine", KEY)
    [found] = checked(keys, CUFF, service_uid=OTHER_UID)
    assert (found.status, "chown healthd:" in found.fix) == (Status.WRONG, True)
    with other_user():
        [as_service] = checked(keys, CUFF, service_uid=OTHER_UID)
        [as_other] = checked(keys, CUFF, service_uid=1)
    assert (as_service.status, "chown" in as_service.fix) == (Status.WRONG, True)
    assert (as_other.status, "sudo -u healthd" in as_other.fix) == (Status.SKIPPED, True)


def test_a_folder_that_is_a_file(keys: Keys) -> None:
    folder = keys.file("mine").parent
    folder.rmdir()
    folder.touch()
    [found] = checked(keys, CUFF)
    assert (found.status, str(folder) in found.found) == (Status.WRONG, True)
