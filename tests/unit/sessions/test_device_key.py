"""The key of a device: read for each link, and never used if it is wrong."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Dialogue, Pairing
from healthd.profiles.profile import Profile
from healthd.samples import Measurement
from healthd.sessions import device_key
from healthd.sessions.device_key import DeviceKey
from healthd.sessions.faults import BadKey
from healthd.settings.keys import Keys
from tests.support.folders import let_others_enter

KEY = bytes(range(16))


def agree(_key: bytes) -> Dialogue:
    yield b""


def decode(_data: bytes) -> Measurement:
    return Measurement()


CONTROL = Characteristic("ff02", Measurement, decode, Use.CONTROL)
CUFF = Profile("cuff", "ff01", (CONTROL,), pairing=Pairing("ff02", agree, 16, "hold its button"))
STRAP = Profile("strap", "180d")


def reading(result: bytes | Exception | None) -> Callable[[], bytes | None]:
    def read() -> bytes | None:
        if isinstance(result, Exception):
            raise result
        return result

    return read


async def test_each_link_reads_the_key_again(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    key = DeviceKey("mine", lambda: keys.read("mine"))
    await key.load([STRAP, CUFF])
    assert key.value is None
    keys.make_folder()
    for stored in (KEY, bytes(16)):
        keys.store("mine", stored)
        await key.load([STRAP, CUFF])
        assert key.value == stored
    keys.file("mine").unlink()
    await key.load([CUFF])
    assert key.value is None


async def test_it_is_not_read_for_devices_without_one() -> None:
    await DeviceKey("strap", reading(AssertionError("it was read"))).load([STRAP])


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (PermissionError(13, "Permission denied", "/keys/mine"), "/keys/mine: Permission denied"),
        (IsADirectoryError(21, "Is a directory", "/keys/mine"), "/keys/mine: Is a directory"),
        (ValueError("/keys/mine: found something else"), "/keys/mine: found something else"),
        (b"\x01" * 15, "15 bytes, expected 16"),
        (b"", "0 bytes"),
    ],
    ids=str,
)
async def test_a_key_that_cannot_be_used_ends_the_link_with_the_reason(
    result: bytes | Exception, says: str
) -> None:
    good = reading(KEY)
    current = [good]
    key = DeviceKey("mine", lambda: current[0]())
    await key.load([CUFF])
    current[0] = reading(result)
    with pytest.raises(BadKey, match="healthd pair mine --again") as fault:
        await key.load([CUFF])
    assert says in str(fault.value)
    assert fault.value.reason == "bad_key"
    assert key.value is None, "the one of the last link is not used again"


async def test_a_disk_that_hangs_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_key, "_READ_S", 0.05)
    over = threading.Event()

    def read() -> bytes | None:
        over.wait()
        return KEY

    try:
        with pytest.raises(BadKey, match="could not be read within"):
            await DeviceKey("mine", read).load([CUFF])
    finally:
        over.set()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can act as another user")
async def test_the_error_names_a_file_of_another_user(tmp_path: Path) -> None:
    let_others_enter(tmp_path)
    keys = Keys(tmp_path)
    keys.make_folder()
    keys.store("mine", KEY)
    os.seteuid(65534)
    try:
        with pytest.raises(BadKey, match=f"{keys.file('mine')}: Permission denied"):
            await DeviceKey("mine", lambda: keys.read("mine")).load([CUFF])
    finally:
        os.seteuid(0)
